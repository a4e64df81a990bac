/** The VMM backends of this controller. A microVM is left to the one that started it, whatever is configured now. */
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { createMutex } from "../lib/mutex.ts";
import { once, together } from "../lib/once.ts";
import type { DataPaths } from "../lib/paths.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";
import { VMMS, type Vmm, type VmmName } from "../lib/vmm-names.ts";
import { chooseBackend } from "./choice.ts";
import { createFirecrackerBackend, type FirecrackerBackendOptions } from "./firecracker/backend.ts";
import { requireCgroups } from "./hierarchy.ts";
import { requireJail } from "./jail.ts";
import { createQemuBackend, type QemuBackendOptions } from "./qemu/backend.ts";
import { probeKvm, type KvmProbeOptions } from "./qemu/kvm-probe.ts";
import type { VmmBackend } from "./vmm.ts";

export interface StandardOptions {
  /** Of the configuration. */
  vm: { accel: "auto" | "kvm" | "emulation" };
  vmm: { backend: "auto" | VmmName; firecracker?: string | undefined; jailer?: string | undefined };
  /** Folders, joined by `:`, of programs that the configuration does not name; the system's own follow. */
  path?: string | undefined;
  /** Of the data directory. */
  paths: Pick<DataPaths, "images" | "vms">;
  /** How KVM is tried, and where the verdict is kept. */
  probe: Omit<KvmProbeOptions, "vmlinux" | "versionMs">;
  /** Milliseconds that each program gets to say its version; default `VERSION_MS`. */
  versionMs?: number | undefined;
  logger: Logger;
}

export type VmmBackends = ReturnType<typeof createBackends>;

export const standardBackends = ({ vm, vmm, path, paths, probe, versionMs, logger }: StandardOptions): VmmBackends => {
  const tryKvm = (vmlinux: string) => probeKvm({ vmlinux, versionMs, ...probe });
  const oneByOne = createMutex();
  // A verdict that is kept need not be remembered.
  const kvm = probe.keepsVerdict === false ? once(tryKvm) : (vmlinux: string) => oneByOne(() => tryKvm(vmlinux));
  const { backend, ...named } = vmm;
  const searchPath = path === undefined ? SYSTEM_PATH : `${path}:${SYSTEM_PATH}`;
  const given = { ...vm, ...named, searchPath, versionMs, paths, kvm };
  const isWished = ({ name, needsKvm }: Vmm): boolean =>
    backend === "auto" ? !(needsKvm && vm.accel === "emulation") : backend === name;
  const made = (which: (vmm: Vmm) => boolean): VmmBackend[] =>
    VMMS.filter(which).map(({ name }) => BACKENDS[name](given));
  return createBackends({ candidates: made(isWished), others: made((one) => !isWished(one)), logger });
};

/** Each takes what it needs of all that there is. */
const BACKENDS: Record<VmmName, (given: FirecrackerBackendOptions & QemuBackendOptions) => VmmBackend> = {
  firecracker: createFirecrackerBackend,
  qemu: createQemuBackend,
};

export interface Registry {
  /** Of which one starts new microVMs: the first that suits. */
  candidates: readonly VmmBackend[];
  /** For microVMs that they started before. */
  others?: readonly VmmBackend[];
  /** Throws where no VMM can be jailed; by default what `requireJail` and `requireCgroups` find on this host. */
  requireJail?: () => void | Promise<void>;
  logger: Logger;
}

export const createBackends = ({ candidates, others = [], logger, ...registry }: Registry) => {
  const all: readonly VmmBackend[] = [...candidates, ...others];
  const forJail = registry.requireJail ?? requireAllOfJail;
  let told: string | undefined;
  return {
    all,
    candidates,
    /**
     * What starts the next microVM, and why: decided at each call with an image's kernel, because what any VMM is jailed with, programs and
     * mounts come, go and are exchanged while a controller runs. Throws AppError, e.g. `kvm-unusable`, `vmm-missing`, `program-missing`,
     * `cgroup-missing`.
     */
    choose: together(async (vmlinux: string) => {
      await forJail();
      const choice = await chooseBackend(candidates, vmlinux);
      const { backend, accel, why } = choice;
      if (why !== told) {
        logger[accel === "kvm" ? "info" : "warn"]({ backend: backend.name, accel, why }, "chosen for new microVMs");
      }
      told = why;
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

const requireAllOfJail = async (): Promise<void> => {
  requireJail();
  await requireCgroups();
};
