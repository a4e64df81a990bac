/** Firecracker as the tests have it. */
import { join } from "node:path";
import { inject } from "vitest";
import type { ConfigFile } from "../../src/config/config.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { createFirecrackerBackend } from "../../src/vmm/firecracker/backend.ts";
import { realMachine } from "../conformance/real-machine.ts";
import type { VmmUnderTest } from "../conformance/vmm-suite.ts";

/** Folder of both programs. */
export const PROGRAMS = process.env.SALLYPORT_TEST_FIRECRACKER ?? "/usr/local/bin";

export const prepareFirecracker = async (): Promise<VmmUnderTest> => ({
  backend: createFirecrackerBackend({
    searchPath: PROGRAMS,
    kvm: async () => ({ usable: true, reason: "As this suite counts on.", measuredMs: 0 }),
    paths: dataPaths(inject("imageDataDir")),
  }),
  ...(await realMachine()),
  // Hard links of the image's files are made in it.
  folder: inject("imageDataDir"),
  broken: (spec) => ({ ...spec, image: { ...spec.image, vmlinux: spec.image.initrd } }),
  saysBroken: /Firecracker refused PUT \/actions: .*Invalid Elf magic number/,
});

/** The configuration that has it, and nothing else, start microVMs. */
export const FIRECRACKER: ConfigFile["vmm"] = {
  backend: "firecracker",
  firecracker: join(PROGRAMS, "firecracker"),
  jailer: join(PROGRAMS, "jailer"),
};

/** What a healthy guest keeps in a KVM that is emulated itself, beside another one; the product's own are for hosts. */
export const DEADLINES_SEC = {
  kernel: 90,
  agent: 280,
  addressed: 30,
  reachable: 30,
  display: 120,
  browser: 400,
};
