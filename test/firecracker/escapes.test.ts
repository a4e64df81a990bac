/** The tries of `test/escape/` in the place of Firecracker, started by its jailer as Firecracker is. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { furnish, inChroot, inSnapshot, seal } from "../../src/vmm/firecracker/chroot.ts";
import { FROZEN_FILES } from "../../src/vmm/frozen.ts";
import { inRoom } from "../../src/vmm/firecracker/jail.ts";
import { IN_CHROOT } from "../../src/vmm/firecracker/requests.ts";
import { FIRST_FILE } from "../../src/vmm/jail.ts";
import { REFUSALS_AROUND_JAILER, seccompFilter } from "../../src/vmm/seccomp.ts";
import type { StartPlan } from "../../src/vmm/vmm.ts";
import { BOOT, hooks } from "../conformance/vmm-suite.ts";
import { tryInJail } from "../escape/jailed.ts";
import { failed, tally, triesOf } from "../escape/tries.ts";
import { createWorld, type World } from "../escape/world.ts";
import { keepFigures } from "./results.ts";
import { PROGRAMS } from "./vmm.ts";

const UID = 61_991;

/** With two files of root's that it may read, as they are in the room of a clone until it is sealed. */
const restoring = async ({ root }: World): Promise<StartPlan> => {
  const snapshot = join(root, "snapshot");
  await mkdir(snapshot);
  for (const name of FROZEN_FILES) await writeFile(inSnapshot(snapshot, name), "frozen", { mode: 0o444 });
  return { kind: "restore", snapshot };
};

test("of all that a program in Firecracker's place tries, each is refused or bounded", async () => {
  for (const planOf of [async () => BOOT, restoring]) {
    const world = await createWorld(UID);
    try {
      await tryAll(world, await planOf(world));
    } finally {
      await world.remove();
    }
  }
});

const tryAll = async (world: World, plan: StartPlan): Promise<void> => {
  const binaries = { firecracker: world.program, jailer: join(PROGRAMS, "jailer") };
  const parts = await tryInJail(world, UID, async (spec) => {
    await furnish(spec, plan, hooks());
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
  expect(failed(parts), plan.kind).toEqual([]);
  expect(tally(parts).names).toEqual(await triesOf(world.program));
};
