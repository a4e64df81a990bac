/** Which backend starts new microVMs. */
import { AppError } from "../lib/errors.ts";
import { oneLine } from "../lib/terminal.ts";
import { kvmReasonOf } from "./kvm.ts";
import type { Suitability, VmmBackend } from "./vmm.ts";

export interface Choice extends Suitability {
  backend: VmmBackend;
}

/**
 * The first that suits; its `why` ends with what was against those before it. `vmlinux`: an image's kernel to try them with. When none
 * does, throws the last one's AppError, which ends with the same.
 */
export const chooseBackend = async (candidates: readonly VmmBackend[], vmlinux: string): Promise<Choice> => {
  const against: Refusal[] = [];
  for (const backend of candidates) {
    try {
      const { accel, why } = await backend.suits(vmlinux);
      return { backend, accel, why: withRefusals(why, against) };
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      against.push({ name: backend.name, error });
    }
  }
  const last = against.pop();
  if (!last) throw new Error("there is no backend to choose");
  const { kind, code, message, hint = "Run sallyport doctor on this host." } = last.error;
  throw new AppError(kind, code, withRefusals(message, against), { hint, cause: last.error });
};

interface Refusal {
  name: string;
  error: AppError;
}

/** What is the matter with KVM is said once: by who does without it, else by the first that needs it. */
const withRefusals = (own: string, against: Refusal[]): string =>
  against.reduce((text, { name, error }) => {
    const reason = kvmReasonOf(error);
    const isSaid = reason !== undefined && text.includes(reason);
    return `${text} Not ${name}: ${isSaid ? "it needs KVM." : oneLine(error.message)}`;
  }, own);
