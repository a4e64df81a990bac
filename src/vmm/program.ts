/** Programs of VMMs on this host, which an operator or a package manager may exchange at any time. */
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";

/** Milliseconds that a program gets to say its version; one that works needs tens of them. */
export const VERSION_MS = 5_000;

/**
 * What `ask` answers. Throws AppError `vmm-missing` with `hint` where the program cannot be run, does not end well, or is exchanged
 * while it is looked at; what is the host's matter (no memory, no file numbers) as it comes.
 */
export const askProgram = async <T>(name: string, hint: string, ask: Promise<T>): Promise<T> => {
  try {
    return await ask;
  } catch (cause) {
    const isForeseen = cause instanceof AppError ? cause.code.startsWith("command-") : NOT_RUN.includes(errnoOf(cause));
    if (!isForeseen) throw cause;
    throw new AppError("unavailable", "vmm-missing", `The program ${name} cannot be run: ${messageOf(cause)}`, {
      hint: `If it is being put into its place just now, try again in a moment. ${hint}`,
      cause,
    });
  }
};

const NOT_RUN: readonly (string | undefined)[] = ["ETXTBSY", "EACCES", "EPERM", "ENOENT", "ENOTDIR", "ELOOP", "EIO"];
