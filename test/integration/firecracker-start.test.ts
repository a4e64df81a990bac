/** A start as Firecracker's backend makes it, its jail included, with programs that play the jailer and the VMM. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { inChroot } from "../../src/vmm/firecracker/chroot.ts";
import { exitIn } from "../../src/vmm/process.ts";
import { BOOT, createSuite, hooks } from "../conformance/vmm-suite.ts";
import { createFakeFirecracker } from "../fixtures/fake-firecracker.ts";

const fake = createFakeFirecracker(1_200_000_000 + (process.pid % 1_000_000) * 200);
const { folder, image } = fake;
const { newSpec, start, backend, handle } = createSuite(fake.prepare);
afterAll(fake.remove);

test("when the machine runs, its VMM's user has no folder to write to, and no device but KVM", async () => {
  const { spec, process: vmm } = await start();
  const root = dirname(inChroot(spec.paths, "rootfs"));
  expect(readFileSync(`/proc/${vmm.pid}/status`, "utf8")).toMatch(new RegExp(`^Uid:\\t${spec.uid}\\t`, "m"));
  for (const inside of [".", "dev", "run"]) {
    expect(statSync(join(root, inside)), inside).toMatchObject({ uid: 0, gid: 0, mode: 0o40711 });
  }
  expect(readdirSync(join(root, "dev"))).toEqual(["kvm"]);
});

test("before its guest may run, the folders are closed already", async () => {
  const spec = await newSpec();
  const seen: number[] = [];
  const beforeRun = async () => void seen.push(statSync(dirname(inChroot(spec.paths, "apiSocket"))).uid);
  await backend().start(spec, BOOT, { ...hooks(), beforeRun });
  expect(seen).toEqual([0]);
});

test.each([
  [153, "-"],
  [148, "GET /"],
  [12, "PUT /boot-source"],
  [148, "PUT /actions"],
])("one that ends with code %i at %s is told of by its own end and its own words", async (code, request) => {
  const vmlinux = join(folder, "ending");
  writeFileSync(vmlinux, `${code} ${request}`);
  const spec = await newSpec({ image: { ...image, vmlinux } });
  await expect(backend().start(spec, BOOT, hooks())).rejects.toMatchObject({
    code: "vmm-died",
    message: expect.stringContaining(`The VMM ended with code ${code}: fake: will end with ${code}`),
  });
  expect(exitIn(readFileSync(spec.paths.vmmLog, "utf8"))).toBe(`ended with code ${code}`);
  expect(await handle({ ...spec, process: null }).processes()).toEqual([]);
});

test("a program in a file of any name is run", async () => {
  const named = join(folder, "named");
  mkdirSync(named);
  for (const [from, to] of [
    ["firecracker", "fc-1.12.1"],
    ["jailer", "jailer-1.12.1"],
  ] as const) {
    await copyFile(join(folder, from), join(named, to));
  }
  const firecracker = join(named, "fc-1.12.1");
  const other = fake.backend({ searchPath: "", firecracker, jailer: join(named, "jailer-1.12.1") });
  const spec = await newSpec();
  await other.start(spec, BOOT, hooks());
  expect(existsSync(inChroot(spec.paths, "apiSocket"))).toBe(true);
});
