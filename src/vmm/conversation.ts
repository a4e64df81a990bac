/** What is asked of a VMM while its guest runs. One that was taken over answers what it likes: it is heard to a bound, and quoted in a line. */
import { AppError } from "../lib/errors.ts";
import { redactText } from "../lib/redact.ts";
import { oneLine } from "../lib/terminal.ts";

/** Of a whole conversation, as they come over the socket: none that is honest takes a tenth of it. */
export const MOST_BYTES = 64 * 1024;

export const TAKEN_OVER =
  "Somebody may have broken out of the guest, or the program is another: keep the evidence, look with sallyport doctor, and start a new sign-in.";

export const saysTooMuch = (vmm: string): AppError =>
  new AppError("internal", "vmm-floods", `${vmm} was no longer listened to: it said more than it ever does.`, {
    hint: TAKEN_OVER,
  });

/** `what` it was asked, and its own words, or `otherwise` where it has none. */
export const refused = (vmm: string, what: string, said: string, otherwise = "it gave no reason"): AppError =>
  new AppError("internal", "vmm-refused", `${vmm} refused ${what}: ${oneLine(redactText(said)) || otherwise}`);

export const silent = (vmm: string, what: string, timeoutMs: number, cause: unknown): AppError =>
  new AppError("timeout", "vmm-silent", `${vmm} gave no answer to ${what} within ${timeoutMs / 1000} s.`, {
    hint: "A host that is overloaded may be the cause: sallyport doctor says how many microVMs fit. Else read the VMM's log (vmm.log of sallyport evidence SESSION).",
    cause,
  });
