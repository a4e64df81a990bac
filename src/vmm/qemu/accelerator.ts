import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/logger.ts";
import type { Accelerator } from "./arguments.ts";
import { probeKvm } from "./kvm-probe.ts";
import { hostTscKhz } from "./tsc.ts";

export interface AcceleratorOptions {
  /** `auto`: KVM where the probe proves it, else emulation. `kvm`: refuse to start otherwise. */
  accel: "auto" | "kvm" | "emulation";
  /** File that keeps the probe's verdict for as long as it holds. */
  probeCache: string;
}

/** Decides once per process; a decision that failed is taken anew. */
export const createAcceleratorChoice = ({ accel, probeCache }: AcceleratorOptions, logger: Logger) => {
  let decision: Promise<Accelerator> | undefined;

  const decide = async (vmlinux: string): Promise<Accelerator> => {
    if (accel !== "emulation") {
      const verdict = await probeKvm({ vmlinux, cacheFile: probeCache });
      if (verdict.usable) return { kind: "kvm" };
      if (accel === "kvm") {
        throw new AppError("unavailable", "kvm-unusable", `KVM does not work on this host. ${verdict.reason}`, {
          hint: "Let Sallyport emulate (vm.accel: auto), which is slower by an order of magnitude, or use a host with KVM.",
        });
      }
      logger.warn({ reason: verdict.reason, probeMs: verdict.measuredMs }, "no usable KVM: guests are emulated");
    }
    return { kind: "emulation", tscKhz: await hostTscKhz() };
  };

  /** `vmlinux`: kernel to probe with. Throws AppError `kvm-unusable`, `tsc-unknown`, or of `probeKvm`. */
  return (vmlinux: string): Promise<Accelerator> =>
    (decision ??= decide(vmlinux).catch((error: unknown) => {
      decision = undefined;
      throw error;
    }));
};
