/** What every VMM is started in, whatever its kind: a control group, a network namespace with nothing in it, bounds of its own. */
import { open, writeFile, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../lib/errors.ts";
import { missingPackages } from "../lib/missing-packages.ts";
import type { VmPaths } from "../lib/paths.ts";
import { MIB } from "../lib/units.ts";
import type { MicrovmSpec } from "./vmm.ts";

/** Above what the controller lets the console's file grow to: reached only when none is there to trim it. */
export const MAX_FILE_BYTES = 64 * MIB;

/** Of a machine that may be frozen: its memory is written to a file, or is one. */
export const maxTemplateFileBytes = (memoryMib: number): number => memoryMib * MIB + MAX_FILE_BYTES;

/** Of each process, also where the control group's controllers are missing. */
export interface ProcessLimits {
  /** Largest size of any file that it writes, bytes. */
  maxFileBytes: number;
  /** Address space, MiB; a VMM maps more than it uses. */
  addressSpaceMib?: number;
  openFiles?: number;
  /** Processes and threads of its user. */
  processes?: number;
}

/** Threads of a VMM are its processors', its devices' and a pool of workers'. */
export const MAX_PROCESSES = 192;
const MAX_OPEN_FILES = 1024;
/** QEMU's emulation alone maps 1 GiB for translated code, and each thread's allocator 64 MiB. */
const EXTRA_ADDRESS_SPACE_MIB = 6144;

/**
 * Command line that becomes `command`, in the microVM's control group (`folder`) and network namespace. Each part replaces itself by
 * the next, so that the process number given out at the start stays the command's.
 */
export const inJail = (
  folder: string,
  { netns, memoryMib }: MicrovmSpec,
  command: string[],
  maxFileBytes = MAX_FILE_BYTES,
): string[] => [
  "sh",
  "-c",
  'echo 0 >"$0/cgroup.procs" && exec "$@"',
  folder,
  "nsenter",
  `--net=${netns}`,
  "--",
  ...bounded(
    {
      maxFileBytes,
      addressSpaceMib: memoryMib + EXTRA_ADDRESS_SPACE_MIB,
      openFiles: MAX_OPEN_FILES,
      processes: MAX_PROCESSES,
    },
    command,
  ),
];

/**
 * The file size limit is the last bound of the console's file when no controller is there to trim it. Beyond it a
 * write must fail and not end the process, hence the ignored signal (which a VMM may handle in its own way); and guest memory must be
 * anonymous, because the limit applies to a memfd as well.
 */
export const bounded = (limits: ProcessLimits, command: string[]): string[] => [
  "prlimit",
  `--fsize=${limits.maxFileBytes}`,
  ...(limits.addressSpaceMib === undefined ? [] : [`--as=${limits.addressSpaceMib * MIB}`]),
  ...(limits.openFiles === undefined ? [] : [`--nofile=${limits.openFiles}`]),
  ...(limits.processes === undefined ? [] : [`--nproc=${limits.processes}`]),
  "--core=0",
  "--",
  "env",
  "--ignore-signal=XFSZ",
  ...command,
];

/** Whether every VMM's jail can be made here, whatever its kind. Throws AppError `program-missing` with what to install. */
export const requireJail = (path?: string): void => {
  const missing = missingPackages(["jail"], path);
  if (missing.length === 0) return;
  const sentence = `No VMM can be jailed on this host. ${missing.map((one) => one.sentence).join(" ")}`;
  const hint = `Install it: apt-get install ${missing.map((one) => one.package).join(" ")}`;
  throw new AppError("unavailable", "program-missing", sentence, { hint });
};

/** The number that a process finds its first open file under, after the three of every process. */
export const FIRST_FILE = 3;

/** A filter of system calls as the open file that bubblewrap reads it from, to its end; kept with the microVM. */
export const openFilter = async ({ root }: VmPaths, filter: Buffer): Promise<FileHandle> => {
  const file = join(root, "seccomp.bpf");
  await writeFile(file, filter, { mode: 0o600 });
  return open(file, "r");
};
