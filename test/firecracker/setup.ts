/** Finds out once whether KVM works: a kernel in an emulated machine's KVM takes longer than a controller would wait for it. */
import type { TestProject } from "vitest/node";
import { createImageStore } from "../../src/image/store.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { probeKvm } from "../../src/vmm/qemu/kvm-probe.ts";

declare module "vitest" {
  interface ProvidedContext {
    kvm: { usable: boolean; reason: string };
  }
}

const PROBE_TIMEOUT_MS = 240_000;

export const setup = async (project: TestProject): Promise<void> => {
  const paths = dataPaths(project.getProvidedContext().imageDataDir);
  const image = await createImageStore(paths).find("default");
  if (!image) throw new Error(`There is no image "default" in ${paths.root}.`);
  const how = { vmlinux: image.vmlinux, cacheFile: paths.kvmProbe, timeoutMs: PROBE_TIMEOUT_MS };
  const { usable, reason } = await probeKvm(how);
  project.provide("kvm", { usable, reason });
};
