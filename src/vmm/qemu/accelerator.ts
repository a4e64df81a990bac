import { once } from "../../lib/once.ts";
import { kvmUnusable, type KvmProof } from "../kvm.ts";
import type { Accelerator } from "./arguments.ts";
import { hostTscKhz } from "./tsc.ts";

export interface AcceleratorOptions {
  /** `auto`: KVM where it is proven, else emulation. `kvm`: refuse to start otherwise. */
  accel: "auto" | "kvm" | "emulation";
  kvm: KvmProof;
}

/**
 * Decides, with why, as the proof says at the time. `vmlinux`: kernel to try KVM with. Throws AppError `kvm-unusable`, `tsc-unknown`, or of
 * the proof.
 */
export const createAcceleratorChoice = ({ accel, kvm }: AcceleratorOptions) => {
  const tsc = once(hostTscKhz);
  const emulation = async (reason: string) => ({
    accelerator: { kind: "emulation" as const, tscKhz: await tsc() },
    reason,
  });
  return async (vmlinux: string): Promise<{ accelerator: Accelerator; reason: string }> => {
    if (accel === "emulation") return emulation("So says the configuration (vm.accel).");
    const verdict = await kvm(vmlinux);
    if (verdict.usable) return { accelerator: { kind: "kvm" }, reason: verdict.reason };
    if (accel === "kvm") throw kvmUnusable(verdict);
    return emulation(verdict.reason);
  };
};
