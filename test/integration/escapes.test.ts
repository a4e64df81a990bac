/** Who broke out of a guest runs in the place of its VMM: what a program finds there that tries what it can. */
import { chmod, copyFile, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { handOver, runFolder, seal } from "../../src/vmm/folder.ts";
import { inRoom, ROOM } from "../../src/vmm/qemu/jail.ts";
import { seccompFilter } from "../../src/vmm/seccomp.ts";
import { prepareSpec, tryInJail } from "../escape/jailed.ts";
import { failed, tally, triesOf } from "../escape/tries.ts";
import { alwaysHeld, tryUnjailed } from "../escape/unjailed.ts";
import { createWorld, plantSetuid, type World } from "../escape/world.ts";

const UID = 61_990;
const TIMEOUT_MS = 180_000;

let world: World;

beforeAll(async () => {
  world = await createWorld(UID);
});

afterAll(() => world.remove());

test(
  "of all that a program in QEMU's place tries, each is refused or bounded",
  async () => {
    const spec = await prepareSpec(world, UID);
    await handOver(spec, { acquire: async () => {} });
    const run = runFolder(spec.paths);
    await plantSetuid(world, run);
    await copyFile(world.program, join(run, "escape"));
    const filterFile = join(spec.paths.root, "seccomp.bpf");
    await writeFile(filterFile, seccompFilter());
    const filter = await open(filterFile, "r");
    const parts = await tryInJail(world, spec, {
      // The room has the program that it is made for, and the VMM's own folder.
      command: (args) => inRoom(spec, 3, ["/usr/bin/env", `${ROOM.run}/escape`, ...args]),
      files: [filter.fd],
      // Programs in it are to be found all the same: one try runs one.
      seal: () => seal(spec.paths).then(() => chmod(run, 0o711)),
      folder: ROOM.run,
      image: ROOM.image.rootfs,
    });
    await filter.close();
    expect(failed(parts)).toEqual([]);
    expect(tally(parts).names).toEqual(await triesOf(world.program));
  },
  TIMEOUT_MS,
);

test(
  "each of the tries works without a jail, for the same user, or for root where no user may",
  async () => {
    const runs = [await tryUnjailed(world, UID, "user"), await tryUnjailed(world, UID, "root")];
    expect(alwaysHeld(runs)).toEqual([]);
    expect(tally(runs.flat()).names).toEqual(await triesOf(world.program));
  },
  TIMEOUT_MS,
);
