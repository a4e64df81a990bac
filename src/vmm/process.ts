/** VMM processes of any kind: start one detached, end one for certain, find all that are ours. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, constants, open } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { AppError, errnoOf } from "../lib/errors.ts";
import { findProcesses, identify, isAlive } from "../lib/process.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";
import { readEnd } from "../lib/read-end.ts";
import { redactText } from "../lib/redact.ts";
import { oneLine } from "../lib/terminal.ts";
import { poll } from "../lib/wait.ts";

/** The marker on a VMM's command line, as the value of its own option for a name. */
export const vmmName = (vmId: string): string => `${NAME_PREFIX}${vmId}`;
const NAME_PREFIX = "sallyport-";

/** All that a VMM gets to know of its surroundings. */
export const VMM_ENVIRONMENT = { PATH: SYSTEM_PATH };

export interface VmmCommand {
  /** Program and arguments. */
  argv: string[];
  logFile: string;
  /** Open files the process gets as numbers 3, 4, … */
  files?: number[];
}

export interface StartedVmm {
  identity: ProcessIdentity;
  /** Rejects with AppError `vmm-died` when the process ends; never resolves. */
  died: Promise<never>;
}

/**
 * Starts a process in a session and process group of its own, with no pipe to this one: it outlives the controller, and
 * signals to the controller's group don't reach it. Its environment holds nothing of the controller's.
 */
export const startVmm = async ({ argv, logFile, files = [] }: VmmCommand): Promise<StartedVmm> => {
  const [program = "", ...args] = argv;
  const log = await open(logFile, "a", 0o600);
  const child = spawn(program, args, {
    detached: true,
    cwd: "/",
    env: VMM_ENVIRONMENT,
    stdio: ["ignore", log.fd, log.fd, ...files],
  });
  child.unref();
  const exit = once(child, "exit");
  const died = exit.then(async ([code, signal]) => {
    const how = signal ? `was ended by ${signal}` : `ended with code ${code}`;
    const error = await vmmDied(how, logFile);
    await writeExit(logFile, how);
    throw error;
  });
  // Of interest only while somebody waits for it.
  died.catch(() => {});
  try {
    await once(child, "spawn");
  } catch (cause) {
    throw new AppError("unavailable", "vmm-missing", `The program ${program} can't be started.`, {
      hint: "Install it: apt install util-linux",
      cause,
    });
  } finally {
    await log.close();
  }
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (!identity) return died;
  return { identity, died };
};

/** Kills the process group of a VMM and waits until it is seen gone. Throws AppError `deadline` if it stays for 5 s. */
export const killVmm = async (process_: ProcessIdentity): Promise<void> => {
  // The number may belong to somebody else by now.
  if (!(await isAlive(process_))) return;
  try {
    process.kill(-process_.pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
  await poll(async () => !(await isAlive(process_)) || undefined, {
    what: `the end of VMM process ${process_.pid}`,
    timeoutMs: 5_000,
    intervalMs: 20,
  });
};

/** Processes whose command line has our marker and, for the same microVM, a path below `vmsDir`. */
export const listVmms = async (vmsDir: string): Promise<{ vmId: string; process: ProcessIdentity }[]> =>
  (await findProcesses((args) => markedVm(args, vmsDir) !== undefined)).map(({ process, args }) => ({
    vmId: markedVm(args, vmsDir) ?? "",
    process,
  }));

/** The microVM that a command line names both as a name and as a directory below `vmsDir`. Pure. */
export const markedVm = (args: string[], vmsDir: string): string | undefined => {
  const vmId = args.find((arg) => arg.startsWith(NAME_PREFIX))?.slice(NAME_PREFIX.length);
  const directory = `${resolve(vmsDir)}${sep}${vmId}${sep}`;
  return vmId && args.some((arg) => arg.includes(directory)) ? vmId : undefined;
};

const EXIT_MARK = "sallyport: the VMM ";

/** How a process ended is known to its parent alone, and to nobody after a restart: so it stands in the VMM's log. */
const writeExit = async (logFile: string, how: string): Promise<void> => {
  try {
    // Without O_CREAT: the folder may be on its way out.
    await appendFile(logFile, `${EXIT_MARK}${how}\n`, { flag: constants.O_WRONLY | constants.O_APPEND });
  } catch (error) {
    // Of a microVM that was removed meanwhile nobody asks; and a full disk is a verdict of its own.
    if (!["ENOENT", "ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "")) throw error;
  }
};

/** How the VMM ended, in words, from its log; null when nobody saw it end. Pure. */
export const exitIn = (log: string): string | null =>
  log
    .split("\n")
    .findLast((line) => line.startsWith(EXIT_MARK))
    ?.slice(EXIT_MARK.length) ?? null;

const vmmDied = async (how: string, logFile: string): Promise<AppError> => {
  const tail = oneLine(redactText((await readEnd(logFile, 2_000)) ?? "")).trim();
  return new AppError("internal", "vmm-died", `The VMM ${how}: ${tail || "it left no message"}`, {
    hint: "Its log is in the session's evidence (vmm.log); on the host look with: sallyport doctor.",
    context: { logFile },
  });
};
