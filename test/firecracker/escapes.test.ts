/** The tries of `test/escape/` in the place of Firecracker, started by its jailer as Firecracker is. */
import { open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { furnish, inChroot, seal } from "../../src/vmm/firecracker/chroot.ts";
import { inRoom } from "../../src/vmm/firecracker/jail.ts";
import { IN_CHROOT } from "../../src/vmm/firecracker/requests.ts";
import { REFUSALS_AROUND_JAILER, seccompFilter } from "../../src/vmm/seccomp.ts";
import { prepareSpec, tryInJail } from "../escape/jailed.ts";
import { failed, tally, triesOf } from "../escape/tries.ts";
import { createWorld, plantSetuid, type World } from "../escape/world.ts";
import { keepFigures } from "./results.ts";

const UID = 61_991;

let world: World;

beforeAll(async () => {
  world = await createWorld(UID);
});

afterAll(() => world.remove());

test("of all that a program in Firecracker's place tries, each is refused or bounded", async () => {
  const spec = await prepareSpec(world, UID);
  const binaries = { firecracker: world.program, jailer: join(process.env.SALLYPORT_TEST_FIRECRACKER ?? "", "jailer") };
  await furnish(spec, binaries.firecracker, { acquire: async () => {} });
  const chroot = dirname(inChroot(spec.paths, "rootfs"));
  await plantSetuid(world, chroot);
  const filterFile = join(spec.paths.root, "seccomp.bpf");
  await writeFile(filterFile, seccompFilter(REFUSALS_AROUND_JAILER));
  const filter = await open(filterFile, "r");
  const parts = await tryInJail(world, spec, {
    // Firecracker's own arguments are last, and these after them.
    command: (args) => [...inRoom(spec, binaries, 3), ...args],
    files: [filter.fd],
    seal: () => seal(spec.paths),
    folder: "/",
    image: `/${IN_CHROOT.rootfs}`,
    log: `/${IN_CHROOT.log}`,
  });
  await filter.close();
  const { tried, held } = tally(parts);
  await keepFigures("escapes", { escapes: { tried, held } });
  expect(failed(parts)).toEqual([]);
  expect(tally(parts).names).toEqual(await triesOf(world.program));
});
