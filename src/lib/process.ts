/** Processes of this host, in whatever namespace. Root sees all of them. */
import { readFileSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { setImmediate as turn } from "node:timers/promises";
import { AppError, errnoOf } from "./errors.ts";
import { createGathering } from "./mutex.ts";
import { unlessMissing } from "./unless-missing.ts";
import { isDeadline, poll } from "./wait.ts";

/** A process that can be told from a later one with the same number. */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks between the host's boot and the start of the process. */
  startTicks: string;
}

/** Identity of a running process, or undefined when there is none (a zombie counts as none). */
export const identify = async (pid: number): Promise<ProcessIdentity | undefined> => look(pid)?.identity;

export const isAlive = async (process: ProcessIdentity): Promise<boolean> => isThere(process);

/** Stopped by a signal or a debugger: it is there, and does nothing. */
export const isStopped = async (process: ProcessIdentity): Promise<boolean> =>
  isThere(process) && ["T", "t"].includes(look(process.pid)?.state ?? "");

/** Milliseconds that it has kept processors busy, all its threads together; undefined when it is gone. */
export const cpuTimeMs = async (process: ProcessIdentity): Promise<number | undefined> => {
  if (!isThere(process)) return undefined;
  const { 11: user, 12: system } = fieldsOf(process.pid) ?? [];
  return user === undefined || system === undefined ? undefined : (Number(user) + Number(system)) * TICK_MS;
};

/** Of the kernel's accounts as it shows them, on every machine (USER_HZ). */
const TICK_MS = 10;

/** Of a child of ours that has not been waited for: known even when it has ended already. */
export const identifyChild = (pid: number): ProcessIdentity => ({ pid, startTicks: fieldsOf(pid)?.[19] ?? "" });

const isThere = ({ pid, startTicks }: ProcessIdentity): boolean => look(pid)?.identity.startTicks === startTicks;

/** `state`: field 3 of /proc/PID/stat. */
const look = (pid: number): { identity: ProcessIdentity; state: string } | undefined => {
  const fields = fieldsOf(pid);
  if (!fields) return undefined;
  const { 0: state = "", 17: threads, 19: startTicks = "" } = fields;
  // Of a process whose first thread ended by itself the others go on: it looks like a zombie and is none.
  if (state === "X" || (state === "Z" && !(Number(threads) > 1))) return undefined;
  return { identity: { pid, startTicks }, state };
};

/** Fields of /proc/PID/stat from the third on. */
const fieldsOf = (pid: number): string[] | undefined => {
  const stat = ofProcess(pid, "stat");
  // The command name in parentheses may hold spaces and parentheses itself.
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
};

/** A file that the kernel makes up of its own memory: reading it takes microseconds and waits for nobody. */
const ofProcess = (pid: number, file: "stat" | "status"): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch (error) {
    if (GONE.includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
};

const GONE = ["ENOENT", "ESRCH"];

/** Processes looked at before others get a turn: any local user can start thousands. */
const LOOKS_PER_TURN = 200;

/**
 * Processes whose real, effective and saved user is one of those that `isTheirs` accepts. Nobody can put a process there
 * but root and that user, which no command line, name or folder can say.
 */
export const processesOf = async (isTheirs: (uid: number) => boolean) => {
  const found: { process: ProcessIdentity; uid: number }[] = [];
  for (const [pid, uid] of await usersOfAll(undefined)) {
    const process = isTheirs(uid) ? look(pid)?.identity : undefined;
    // Its number may be another's since.
    if (process && userOf(pid) === uid) found.push({ process, uid });
  }
  return found;
};

/** User by process number. Who asks while others' look is under way shares the next. */
const usersOfAll = createGathering(async () => {
  const users = new Map<number, number>();
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const [index, pid] of pids.entries()) {
    if (index % LOOKS_PER_TURN === LOOKS_PER_TURN - 1) await turn();
    const uid = userOf(pid);
    if (uid !== undefined) users.set(pid, uid);
  }
  return users;
}, 1_000);

const userOf = (pid: number): number | undefined => {
  const [, real, effective, saved] = /^Uid:\t(\d+)\t(\d+)\t(\d+)\t/m.exec(ofProcess(pid, "status") ?? "") ?? [];
  return real !== undefined && real === effective && real === saved ? Number(real) : undefined;
};

/** More than any program of ours is started with. */
const MAX_COMMAND_LINE_BYTES = 128 * 1024;

/**
 * Arguments of a process, of a long line the beginning; empty for one that is gone. Only of processes that are known to be
 * ours: it is the process itself that says them, and it can make their reading wait.
 */
export const commandLine = (pid: number): Promise<string[]> => unlessMissing(readCommandLine(pid), [], GONE);

const readCommandLine = async (pid: number): Promise<string[]> => {
  const file = await open(`/proc/${pid}/cmdline`);
  try {
    const buffer = Buffer.alloc(MAX_COMMAND_LINE_BYTES);
    let length = 0;
    for (let bytesRead = 1; bytesRead > 0 && length < buffer.length; length += bytesRead) {
      ({ bytesRead } = await file.read(buffer, length, buffer.length - length));
    }
    return buffer.toString("utf8", 0, length).split("\0").slice(0, -1);
  } finally {
    await file.close();
  }
};

/**
 * Kills what `find` finds until it finds nothing more: what was started meanwhile, too. `what`: whose processes they are, as
 * the subject of a sentence. Throws AppError `process-stays` after `timeoutMs`.
 */
export const killAll = async (what: string, find: () => Promise<ProcessIdentity[]>, timeoutMs = 5_000) => {
  let left: ProcessIdentity[] = [];
  const kill = async (): Promise<true | undefined> => {
    left = await find();
    for (const process of left) killNow(process);
    return left.length === 0 || undefined;
  };
  try {
    await poll(kill, { what, timeoutMs, intervalMs: 20, firstMs: 1 });
  } catch (cause) {
    if (!isDeadline(cause)) throw cause;
    const pids = left.map(({ pid }) => pid).join(", ");
    throw new AppError("timeout", "process-stays", `${what} did not end although it was killed: process ${pids}.`, {
      hint: `It hangs in the kernel; see what it waits for (cat /proc/${left[0]?.pid}/stack) and mend that.`,
      cause,
    });
  }
};

/** Kills one process. As `killAll`; one that is gone, or whose number is somebody else's now, is left alone. */
export const killProcess = (what: string, process: ProcessIdentity): Promise<void> =>
  killAll(what, async () => (isThere(process) ? [process] : []));

/** Looked at and signalled in one go: Node knows no pidfd, and between the two there is time for nothing of ours. */
const killNow = (found: ProcessIdentity): void => {
  if (!isThere(found)) return;
  try {
    process.kill(found.pid, "SIGKILL");
  } catch {
    // It ended in between; or it may not be signalled, which the one who waits for its end will say.
  }
};
