/** The VMM backends of this controller. A microVM is left to the one that started it, whatever is configured now. */
import { AppError } from "../lib/errors.ts";
import { createQemuBackend, type QemuBackendOptions } from "./qemu/backend.ts";
import type { VmmBackend } from "./vmm.ts";

export type VmmBackends = ReturnType<typeof createBackends>;

export const standardBackends = (options: QemuBackendOptions): VmmBackends =>
  createBackends(createQemuBackend(options));

/** `current` starts new microVMs. */
export const createBackends = (current: VmmBackend, ...others: VmmBackend[]) => {
  const all: readonly VmmBackend[] = [current, ...others];
  return {
    all,
    current,
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
