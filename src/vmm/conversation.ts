/** What is asked of a VMM while its guest runs. One that was taken over answers what it likes: it is heard to a bound, and quoted in a line. */
import { AppError } from "../lib/errors.ts";
import { redactText } from "../lib/redact.ts";
import { oneLine } from "../lib/terminal.ts";

/** Of a whole conversation, as they come over the socket: none that is honest takes a tenth of it. */
export const MOST_BYTES = 64 * 1024;

export const saysTooMuch = (vmm: string): AppError =>
  new AppError(
    "internal",
    "vmm-floods",
    `${vmm} said more on its control socket than it ever does; it was not listened to any longer.`,
    {
      hint: "The VMM may have been taken over: destroy the session.",
    },
  );

/** `what` it was asked, and its own words. */
export const refused = (vmm: string, what: string, said: string): AppError =>
  new AppError("internal", "vmm-refused", `${vmm} refused ${what}: ${oneLine(redactText(said))}`);

export const silent = (vmm: string, what: string, timeoutMs: number, cause: unknown): AppError =>
  new AppError("timeout", "vmm-silent", `${vmm} gave no answer to ${what} within ${timeoutMs / 1000} s.`, { cause });
