/** Who broke out of a guest runs in the place of its VMM: what a program finds there that tries what it can. */
import { chmod, copyFile, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { handOver, runFolder, seal } from "../../src/vmm/folder.ts";
import { FIRST_FILE } from "../../src/vmm/jail.ts";
import { inRoom, ROOM } from "../../src/vmm/qemu/jail.ts";
import { seccompFilter } from "../../src/vmm/seccomp.ts";
import { hooks } from "../conformance/vmm-suite.ts";
import { tryInJail } from "../escape/jailed.ts";
import { failed, tally, triesOf } from "../escape/tries.ts";
import { alwaysHeld, tryUnjailed } from "../escape/unjailed.ts";
import { asNobody, createWorld, plantSetuid, type World } from "../escape/world.ts";

const UID = 61_990;
const TIMEOUT_MS = 180_000;

let world: World;

beforeAll(async () => {
  world = await createWorld(UID);
});

afterAll(() => world.remove());

test("only the user of the tries comes to root's programs, and is told no more by one than whose it is", async () => {
  await expect(run("setpriv", [...asNobody(UID + 9), "test", "-x", world.program])).rejects.toThrow("setpriv");
  const folder = await mkdtemp(join(world.root, "setuid-"));
  await chmod(folder, 0o711);
  await plantSetuid(world, folder);
  const tell = `"$@" list; echo "ends with $?"; "$@" whoami; echo "ends with $?"`;
  const { stdout } = await run("setpriv", [...asNobody(UID), "sh", "-c", tell, "sh", join(folder, "setuid")]);
  expect(stdout).toBe("ends with 0\nends with 0\n");
});

test(
  "of all that a program in QEMU's place tries, each is refused or bounded",
  async () => {
    const parts = await tryInJail(world, UID, async (spec) => {
      await handOver(spec, hooks());
      const own = runFolder(spec.paths);
      await copyFile(world.program, join(own, "escape"));
      return {
        // The room has the program that it is made for, and the VMM's own folder.
        command: (args) => inRoom(spec, FIRST_FILE, ["/usr/bin/env", `${ROOM.run}/escape`, ...args]),
        filter: seccompFilter(),
        // Programs in it are to be found all the same: one try runs one.
        seal: () => seal(spec.paths).then(() => chmod(own, 0o711)),
        own,
        folder: ROOM.run,
        image: ROOM.image.rootfs,
      };
    });
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
