/** How a VMM is started so that an escape from the guest finds as little as possible: no root, no rights, no core dump. */
import { AppError } from "../lib/errors.ts";

export interface Confinement {
  /** User and group number. */
  uid: number;
  /** Largest size of any file the process writes, bytes. */
  maxFileBytes: number;
}

/**
 * Command line that becomes `command` as an unprivileged user without capabilities or supplementary groups. Each part
 * replaces itself by the next, so that the process number given out at the start stays the VMM's (a `sudo` in between
 * would not: vm0-ai/vm0#5961).
 *
 * The file size limit is the last bound of the console's file when no controller is there to trim it. Beyond it a
 * write must fail and not end the process, hence the ignored signal; and guest memory must be anonymous, because the limit
 * applies to a memfd as well.
 */
export const unprivileged = ({ uid, maxFileBytes }: Confinement, command: string[]): string[] => [
  "setpriv",
  `--reuid=${uid}`,
  `--regid=${uid}`,
  "--clear-groups",
  "--no-new-privs",
  "--inh-caps=-all",
  "--ambient-caps=-all",
  "--bounding-set=-all",
  "--",
  "prlimit",
  `--fsize=${maxFileBytes}`,
  "--core=0",
  "--",
  "env",
  "--ignore-signal=XFSZ",
  ...command,
];

/** The first program of that line could not be started. */
export const notStarted = (program: string | undefined, cause: unknown): AppError =>
  new AppError("unavailable", "vmm-missing", `The program ${program} can't be started.`, {
    hint: "Install it: apt install util-linux",
    cause,
  });
