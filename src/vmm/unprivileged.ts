/** How a program is started so that whoever takes it over finds as little as possible: no root, no rights, no way to get any. */
import { bounded } from "./jail.ts";

export interface Confinement {
  /** User and group number. */
  uid: number;
  /** Largest size of any file the process writes, bytes. */
  maxFileBytes: number;
}

/**
 * Command line that becomes `command` as an unprivileged user without capabilities or supplementary groups. Each part
 * replaces itself by the next, so that the process number given out at the start stays the command's (a `sudo` in between
 * would not: vm0-ai/vm0#5961).
 */
export const asUser = (uid: number, command: string[]): string[] => [
  "setpriv",
  `--reuid=${uid}`,
  `--regid=${uid}`,
  "--clear-groups",
  "--no-new-privs",
  "--inh-caps=-all",
  "--ambient-caps=-all",
  "--bounding-set=-all",
  "--",
  ...command,
];

/** As `asUser`, with a bound on files and no core dump. */
export const unprivileged = ({ uid, maxFileBytes }: Confinement, command: string[]): string[] =>
  asUser(uid, bounded({ maxFileBytes }, command));
