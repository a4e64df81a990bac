/** The VMM backends of this controller. A microVM is left to the one that started it, whatever is configured now. */
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { once } from "../lib/once.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";
import { chooseBackend } from "./choice.ts";
import { createFirecrackerBackend } from "./firecracker/backend.ts";
import { createQemuBackend } from "./qemu/backend.ts";
import { probeKvm, type KvmProbeOptions } from "./qemu/kvm-probe.ts";
import type { VmmBackend } from "./vmm.ts";

export interface StandardOptions {
  /** Of the configuration. */
  vm: { accel: "auto" | "kvm" | "emulation" };
  vmm: { backend: "auto" | "firecracker" | "qemu"; firecracker?: string | undefined; jailer?: string | undefined };
  /** How KVM is tried, and where the verdict is kept. */
  probe: Omit<KvmProbeOptions, "vmlinux">;
  logger: Logger;
}

export type VmmBackends = ReturnType<typeof createBackends>;

export const standardBackends = ({ vm, vmm, probe, logger }: StandardOptions): VmmBackends => {
  const kvm = once((vmlinux: string) => probeKvm({ vmlinux, ...probe }));
  const { backend, ...named } = vmm;
  // In the order of the wish: who is not suited is passed over.
  const firecracker = createFirecrackerBackend({ ...named, searchPath: SYSTEM_PATH, kvm });
  const all = [firecracker, createQemuBackend({ ...vm, kvm })];
  const isCandidate = (one: VmmBackend): boolean =>
    backend === "auto" ? one !== firecracker || vm.accel !== "emulation" : backend === one.name;
  return createBackends({
    candidates: all.filter(isCandidate),
    others: all.filter((each) => !isCandidate(each)),
    logger,
  });
};

export interface Registry {
  /** Of which one starts new microVMs: the first that suits. */
  candidates: readonly VmmBackend[];
  /** For microVMs that they started before. */
  others?: readonly VmmBackend[];
  logger: Logger;
}

export const createBackends = ({ candidates, others = [], logger }: Registry) => {
  const all: readonly VmmBackend[] = [...candidates, ...others];
  return {
    all,
    candidates,
    /**
     * What starts new microVMs, and why: decided at the first call with an image's kernel; a decision that failed is taken anew.
     * Throws AppError, e.g. `kvm-unusable`, `vmm-missing`.
     */
    choose: once(async (vmlinux: string) => {
      const choice = await chooseBackend(candidates, vmlinux);
      const { backend, accel, why } = choice;
      logger[accel === "kvm" ? "info" : "warn"]({ backend: backend.name, accel, why }, "chosen for new microVMs");
      return choice;
    }),
    /** The backend of a microVM's record. Throws AppError `backend-unknown`. */
    of: (name: string): VmmBackend => {
      const backend = all.find((each) => each.name === name);
      if (backend) return backend;
      const sentence = `This version of Sallyport knows no VMM "${name}", which started a microVM.`;
      throw new AppError("internal", "backend-unknown", sentence, {
        hint: "Run the version that started it until the session has ended; or end its process, seen with: sallyport ls.",
      });
    },
  };
};
