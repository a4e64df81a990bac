/** The tries of `test/escape/` in the place of Firecracker, started by its jailer as Firecracker is. */
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { furnish, inChroot, seal } from "../../src/vmm/firecracker/chroot.ts";
import { inRoom } from "../../src/vmm/firecracker/jail.ts";
import { IN_CHROOT } from "../../src/vmm/firecracker/requests.ts";
import { FIRST_FILE } from "../../src/vmm/jail.ts";
import { REFUSALS_AROUND_JAILER, seccompFilter } from "../../src/vmm/seccomp.ts";
import { BOOT, hooks } from "../conformance/vmm-suite.ts";
import { tryInJail } from "../escape/jailed.ts";
import { failed, tally, triesOf } from "../escape/tries.ts";
import { createWorld, type World } from "../escape/world.ts";
import { keepFigures } from "./results.ts";
import { PROGRAMS } from "./vmm.ts";

const UID = 61_991;

let world: World;

beforeAll(async () => {
  world = await createWorld(UID);
});

afterAll(() => world.remove());

test("of all that a program in Firecracker's place tries, each is refused or bounded", async () => {
  const binaries = { firecracker: world.program, jailer: join(PROGRAMS, "jailer") };
  const parts = await tryInJail(world, UID, async (spec) => {
    await furnish(spec, BOOT, hooks());
    return {
      // Firecracker's own arguments are last, and these after them.
      command: (args) => [...inRoom(spec, binaries, FIRST_FILE), ...args],
      filter: seccompFilter(REFUSALS_AROUND_JAILER),
      seal: () => seal(spec.paths),
      own: dirname(inChroot(spec.paths, "rootfs")),
      folder: "/",
      image: `/${IN_CHROOT.rootfs}`,
      log: `/${IN_CHROOT.log}`,
    };
  });
  const { tried, held } = tally(parts);
  await keepFigures("escapes", { escapes: { tried, held } });
  expect(failed(parts)).toEqual([]);
  expect(tally(parts).names).toEqual(await triesOf(world.program));
});
