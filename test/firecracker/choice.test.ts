/** What is chosen where KVM works and both VMMs are there: by the product's own registry, and said by its doctor. */
import { chmod, copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject, onTestFinished, test } from "vitest";
import { loadConfig } from "../../src/config/config.ts";
import { readEnv } from "../../src/config/env.ts";
import { examine } from "../../src/doctor/doctor.ts";
import { silentLogger } from "../../src/lib/logger.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { standardBackends, type StandardOptions } from "../../src/vmm/backends.ts";
import { findImage } from "../conformance/real-machine.ts";
import { PROGRAMS } from "./vmm.ts";

const IN_KVM = /in KVM\. A kernel booted in KVM within [\d.]+ s\./;

/** `path`: folder of both programs. */
const choose = async (backend: StandardOptions["vmm"]["backend"], path = PROGRAMS) => {
  const paths = dataPaths(inject("imageDataDir"));
  const vmms = standardBackends({
    vm: { accel: "auto" },
    vmm: { backend },
    path,
    paths,
    probe: { cacheFile: paths.kvmProbe },
    logger: silentLogger(),
  });
  return vmms.choose((await findImage()).vmlinux);
};

test("auto is Firecracker, in KVM, and why; who wants QEMU gets it, in KVM as well", async () => {
  const chosen = await choose("auto");
  expect(chosen).toMatchObject({ backend: { name: "firecracker" }, accel: "kvm" });
  expect(chosen.why).toMatch(/^Firecracker \d+\.\d+\.\d+ in KVM\./);
  expect(chosen.why).toMatch(IN_KVM);
  const other = await choose("qemu");
  expect(other).toMatchObject({ backend: { name: "qemu" }, accel: "kvm" });
  expect(other.why).toMatch(IN_KVM);
});

test("programs that others could replace are passed over by auto, with the reason, and refused to who wants no other", async () => {
  // A place that programs may run in, unlike /run and /tmp.
  const folder = await mkdtemp(join(inject("imageDataDir"), "choice-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const name of ["firecracker", "jailer"]) await copyFile(join(PROGRAMS, name), join(folder, name));
  await chmod(join(folder, "jailer"), 0o777);
  const chosen = await choose("auto", folder);
  expect(chosen.backend.name).toBe("qemu");
  expect(chosen.why).toMatch(/in KVM\..* Not firecracker: .*jailer is not run: it may be written by others/);
  await expect(choose("firecracker", folder)).rejects.toMatchObject({ code: "program-unguarded" });
});

test("doctor says the same", async () => {
  const config = loadConfig({ ...readEnv(), dataDir: inject("imageDataDir"), configFile: undefined });
  const { checks } = await examine({ config, path: PROGRAMS, isDeep: false });
  const lines = checks.filter(({ name }) => ["vmm", "firecracker", "qemu"].includes(name));
  expect(lines).toMatchObject([
    { name: "vmm", result: "ok", text: (await choose("auto")).why },
    { name: "firecracker", result: "ok" },
    { name: "qemu", result: "ok" },
  ]);
});
