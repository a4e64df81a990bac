/** Whether KVM works on this host: found out for every backend that can use it. How, one of them knows. */
import { z } from "zod";
import { AppError } from "../lib/errors.ts";

export const kvmVerdict = z.object({
  usable: z.boolean(),
  /** A sentence for people. */
  reason: z.string(),
  measuredMs: z.number(),
});
export type KvmVerdict = z.infer<typeof kvmVerdict>;

/** By booting `vmlinux`, an image's kernel. Throws AppError when nothing can be said, e.g. because the program that boots it is missing. */
export type KvmProof = (vmlinux: string) => Promise<KvmVerdict>;

/** Refusal of what cannot do without KVM. */
export const kvmUnusable = ({ reason }: KvmVerdict): AppError =>
  new AppError("unavailable", "kvm-unusable", `KVM does not work on this host. ${reason}`, {
    hint: "Let Sallyport emulate (vm.accel: auto, vmm.backend: auto), which is slower by an order of magnitude, or use a host with KVM.",
    context: { reason },
  });

/** Of such a refusal; undefined for any other. */
export const kvmReasonOf = ({ code, context }: AppError): string | undefined =>
  code === "kvm-unusable" ? String(context?.["reason"]) : undefined;
