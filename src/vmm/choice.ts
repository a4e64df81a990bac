/** Which backend starts new microVMs. */
import { AppError } from "../lib/errors.ts";
import { oneLine } from "../lib/terminal.ts";
import type { Suitability, VmmBackend } from "./vmm.ts";

export interface Choice extends Suitability {
  backend: VmmBackend;
}

/**
 * The first that suits; its `why` ends with what was against those before it. `vmlinux`: an image's kernel to try them with. When none
 * does, throws the last one's AppError, which ends with the same.
 */
export const chooseBackend = async (candidates: readonly VmmBackend[], vmlinux: string): Promise<Choice> => {
  const against: string[] = [];
  let refusal: unknown;
  for (const backend of candidates) {
    try {
      const { accel, why } = await backend.suits(vmlinux);
      return { backend, accel, why: [why, ...against].join(" ") };
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const { kind, code, message, hint = "Run sallyport doctor on this host." } = error;
      refusal = new AppError(kind, code, [message, ...against].join(" "), { hint, cause: error });
      // What is the matter with KVM is said by who does without it.
      against.push(`Not ${backend.name}: ${code === "kvm-unusable" ? "it needs KVM." : oneLine(message)}`);
    }
  }
  throw refusal;
};
