import type { ExitCodes } from "../exit.ts";
import { endOfHeld } from "../process.ts";

/** Of Firecracker 1.12 to 1.17. Its own handlers turn signals into codes; 12 is what is seen when it gets no memory. */
export const EXIT_CODES: ExitCodes = {
  12: "out-of-memory",
  148: "call-refused",
  149: "memory-gone",
  150: "crashed",
  151: "file-too-large",
  152: "misconfigured",
  153: "misconfigured",
  // SIGXCPU, SIGHUP: from outside. SIGPIPE (155) says nothing by itself.
  154: "killed",
  156: "killed",
  157: "crashed",
};

/**
 * Its own codes are as high as those by which what holds its jail tells of a signal. `said`: what is in its log before it answers,
 * where a jailer that gives up, and then looks crashed, says so. Pure.
 */
export const endOfFirecracker = (code: number, said = ""): string => {
  if (JAILERS_WORDS.test(said)) return "was not started by its jailer";
  return code in EXIT_CODES || code === SIGPIPE ? `ended with code ${code}` : endOfHeld(code);
};

const SIGPIPE = 155;
/** The first that is said at all, of 1.12: nothing of Firecracker's own comes before it. */
const JAILERS_WORDS =
  /^\s*(?:thread 'main'[^\n]* panicked at [^\n]*jailer[^\n]*\n|Jailer error: |Failed to parse arguments: )/;
