/** VMM processes of any kind: start one in its jail, end one for certain, find all that are ours. */
import { appendFile, constants as fileConstants } from "node:fs/promises";
import { constants } from "node:os";
import { allTried } from "../lib/all-tried.ts";
import { startDaemon } from "../lib/daemon.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { isAlive, killAll, processesOf, type ProcessIdentity } from "../lib/process.ts";
import { once } from "../lib/once.ts";
import { readEnd } from "../lib/read-end.ts";
import { redactText } from "../lib/redact.ts";
import { oneLine } from "../lib/terminal.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { orAborted, orAfter, poll } from "../lib/wait.ts";
import {
  type CgroupLimits,
  cgroupExists,
  cgroupOfProcess,
  killCgroup,
  makeCgroup,
  processesInCgroup,
  removeCgroup,
} from "./cgroup.ts";
import { holdersIn, leftInFolder } from "./folder.ts";
import { inJail, MAX_PROCESSES } from "./jail.ts";
import type { FoundVmm, Left, MicrovmSpec, StartHooks, VmmRange, VmmRecord } from "./vmm.ts";

/** A VMM's command line, to be run in its jail. */
export interface VmmCommand {
  argv: string[];
  /** Open files the process gets as numbers 3, 4, … */
  files?: number[];
  /** What it says on standard output is appended to this file, and not to its log. */
  outFile?: string;
  /** Bound of each file that it writes; default `MAX_FILE_BYTES`. */
  maxFileBytes?: number;
  /** Of a jail that answers its VMM's end with a code of its own. `said`: end of the log, of one that never answered. Default: the code as it is. */
  endOf?: (code: number, said: string) => string;
}

/**
 * Starts a VMM in its jail, waits until it answers, as `hasAnswered` finds out, and lets its machine run; or until it died, or the start
 * is ended, which no step has to look out for. The process answered is the VMM's own, not that of a program which holds its jail.
 * Whatever fails, no process is left; its control group is, until it is destroyed, with what it counted.
 */
export const startAnswering = async (
  spec: MicrovmSpec,
  { memoryMib, maxFileBytes, endOf = plainEnd, ...command }: VmmCommand & Pick<CgroupLimits, "memoryMib">,
  hasAnswered: (signal: AbortSignal) => Promise<void>,
  { acquire, onProcess, beforeRun, signal }: StartHooks,
  letRun: () => Promise<void>,
): Promise<ProcessIdentity> => {
  signal.throwIfAborted();
  await acquire(CGROUP, spec.paths.cgroup);
  const limits = { memoryMib, pids: MAX_PROCESSES, cpus: spec.vcpuCount + EXTRA_CPUS };
  const argv = inJail(await makeCgroup(spec.paths.cgroup, limits), spec, command.argv, maxFileBytes);
  let known: ProcessIdentity | undefined;
  const stays = async (): Promise<boolean> =>
    known ? isAlive(known) : (await processesOfUser({ uid: spec.uid, process: null })).length > 0;
  const { identity, died } = await startVmm({
    ...command,
    argv,
    logFile: spec.paths.vmmLog,
    stays,
    // What is in the log of one whose guest may have taken it over is that guest's.
    endOf: (code, said) => endOf(code, known ? "" : said),
  });
  const waiting = new AbortController();
  const step = (work: () => Promise<void>): Promise<void> => orAborted(() => Promise.race([work(), died]), signal);
  try {
    await onProcess(identity);
    await step(() => hasAnswered(waiting.signal));
    // The oldest: others are its own doing.
    const [own = identity] = (await processesOf((user) => user === spec.uid))
      .map(({ process }) => process)
      .toSorted((a, b) => Number(a.startTicks) - Number(b.startTicks) || a.pid - b.pid);
    known = own;
    if (own.pid !== identity.pid) await onProcess(own);
    await step(beforeRun);
    await step(letRun);
    return own;
  } catch (error) {
    waiting.abort();
    // The words of a refusal say more than the end that follows it.
    const isRefusal = error instanceof AppError && error.code === "vmm-refused";
    const ended = (): Promise<unknown> => died.catch((end: unknown) => (isRefusal ? error : end));
    // What ends by itself is first noticed by whoever speaks to it, and told of by its parent a little later: to be killed meanwhile, and
    // then to look like one that was, would hide its own code.
    const why = await orAborted(() => orAfter(ended(), DYING_MS, () => error), signal).catch(
      (reason: unknown) => reason,
    );
    await endProcesses({ ...spec, process: identity });
    throw why;
  }
};

/** For an end to be told of. */
const DYING_MS = 1_000;

/** For the VMM's threads beside the guest's processors. */
const EXTRA_CPUS = 1;
/** Its kind in the ledger. */
export const CGROUP = "cgroup";

interface Start extends Omit<VmmCommand, "maxFileBytes"> {
  logFile: string;
  /** Whether it runs without the program that was started, which only held its jail. */
  stays?: () => Promise<boolean>;
}

/**
 * Starts a VMM, which outlives the controller; `died` rejects with AppError `vmm-died` when it ends, or `vmm-unheld` when the program
 * that holds its jail does so alone. Throws AppError `vmm-not-started`.
 */
export const startVmm = async ({ endOf = plainEnd, stays = async () => false, ...command }: Start) => {
  const { logFile } = command;
  const { identity, ended } = await startDaemon(command).catch((cause: unknown) => {
    throw notStarted(cause);
  });
  const died = ended.then(async ({ code, signal }): Promise<never> => {
    const said = (await readEnd(logFile, 2_000)) ?? "";
    const how = signal === null ? endOf(code, said) : endBySignal(signal);
    const isGone = async (): Promise<true | undefined> => !(await stays()) || undefined;
    await poll(isGone, { what: "the VMM's end", timeoutMs: 5_000, intervalMs: 50 }).catch((cause: unknown) => {
      const sentence = `The program that holds the VMM's jail ${how}, and the VMM runs on.`;
      throw new AppError("internal", "vmm-unheld", sentence, { cause });
    });
    const tail = oneLine(redactText(said)).trim();
    await writeExit(logFile, how);
    throw new AppError("internal", "vmm-died", `The VMM ${how}: ${tail || "it left no message"}`, {
      hint: "Its log is in the session's evidence (vmm.log); on the host look with: sallyport doctor.",
      context: { logFile },
    });
  });
  // Of interest only while somebody waits for it.
  died.catch(() => {});
  return { identity, died };
};

/** Not for want of a program that the jail is made of: those are looked for before (`requireJail`). */
export const notStarted = (cause: unknown): AppError =>
  new AppError("unavailable", "vmm-not-started", `The VMM could not be started: ${messageOf(cause)}`, {
    hint: "Run sallyport doctor on this host.",
    cause,
  });

const plainEnd = (code: number): string => `ended with code ${code}`;
const endBySignal = (signal: string): string => `was ended by ${signal}`;

/** Of a program that holds a jail and, as shells do, answers 128 and the number of the signal that ended what it held. */
export const endOfHeld = (code: number): string => {
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return signal === undefined ? plainEnd(code) : endBySignal(signal);
};

/**
 * All that runs for a microVM, whatever it says of itself: the processes of its control group, and those of its user, which is nobody
 * else's while the microVM has it; and the recorded one, which is still root's and in no group for an instant after its start.
 */
const processesOfVmm = async (vm: VmmRecord): Promise<ProcessIdentity[]> => {
  const all = [...(await processesOfUser(vm)), ...(await processesInCgroup(vm.paths.cgroup))];
  return [...new Map(all.map((one) => [one.pid, one])).values()];
};

const processesOfUser = async ({ uid, process }: Pick<VmmRecord, "uid" | "process">): Promise<ProcessIdentity[]> => {
  const found = (await processesOf((user) => user === uid)).map((entry) => entry.process);
  return process && (await isAlive(process)) ? [...found, process] : found;
};

/** Throws AppError `process-stays`, `cgroup-refused`, `cgroup-missing`. */
const killVmm = (vm: VmmRecord): Promise<void> =>
  allTried(
    () => endProcesses(vm),
    () => removeCgroup(vm.paths.cgroup),
  );

const endProcesses = async (vm: VmmRecord): Promise<void> => {
  await killCgroup(vm.paths.cgroup);
  const what = `The VMM of microVM ${vm.vmId}`;
  await allTried(
    // Where its group cannot be looked into, it is ended nonetheless.
    () => killAll(what, () => processesOfUser(vm)),
    () => killAll(what, () => processesOfVmm(vm)),
  );
};

/** What a handle can do whatever the VMM, its processes being those of its user. */
export const handleOf = (vm: VmmRecord) => ({
  process: vm.process,
  processes: () => processesOfVmm(vm),
  kill: () => killVmm(vm),
  left: async (): Promise<Left[]> => {
    const processes = (await processesOfVmm(vm)).map(({ pid }) => ({ kind: "process", ref: String(pid) }));
    const user = processes.length > 0 ? [{ kind: "user", ref: String(vm.uid) }] : [];
    const group = (await cgroupExists(vm.paths.cgroup)) ? [{ kind: CGROUP, ref: vm.paths.cgroup }] : [];
    return [...user, ...processes, ...group, ...(await leftInFolder(vm))];
  },
});

/**
 * VMMs of one controller: the processes of its users that are in a group of one of its microVMs. Others, started before there were
 * groups or before the data directory was moved, are known by the folder that their user was given.
 */
export const listVmms = async (range: VmmRange): Promise<FoundVmm[]> =>
  (await lookFor(range)).flatMap(({ vmId, ...found }) => (vmId === undefined ? [] : [{ vmId, ...found }]));

/** Processes of users that are for microVMs, which are no microVM's of any controller as far as can be seen. */
export const listStrangers = async (range: VmmRange): Promise<Omit<FoundVmm, "vmId">[]> =>
  (await lookFor(range)).filter(({ vmId }) => vmId === undefined);

const lookFor = async ({ cgroup, vms, uids: [first, last] }: VmmRange) => {
  const holders = once(() => holdersIn(vms));
  const ours = await processesOf((uid) => uid >= first && uid <= last);
  const told = ours.map(async (found) => {
    const group = (await cgroupOfProcess(found.process.pid)) ?? "";
    const inGroup = microvmIn(group, cgroup);
    if (inGroup !== undefined) return [{ vmId: inGroup, ...found }];
    const inAnother = ANY_CONTROLLERS.exec(group)?.[1];
    const vmId = (await holders()).get(found.uid);
    const isOurs = inAnother === undefined || inAnother === vmId;
    return isOurs && (await isAlive(found.process)) ? [{ vmId, ...found }] : [];
  });
  return (await Promise.all(told)).flat();
};

/** As lib/paths.ts names them. */
const ANY_CONTROLLERS = /^\/sallyport-[0-9a-f]{12}\/([0-9a-z]+)/;

/** The microVM whose group it is, or a group inside it. Pure. */
export const microvmIn = (path: string, parent: string): string | undefined =>
  path.startsWith(`${parent}/`) ? /^[0-9a-z]+/.exec(path.slice(parent.length + 1))?.[0] : undefined;

const EXIT_MARK = "sallyport: the VMM ";

/** How a process ended is known to its parent alone, and to nobody after a restart: so it stands in the VMM's log. */
const writeExit = async (logFile: string, how: string): Promise<void> => {
  // Without O_CREAT: the folder may be on its way out.
  const written = appendFile(logFile, `${EXIT_MARK}${how}\n`, {
    flag: fileConstants.O_WRONLY | fileConstants.O_APPEND,
  });
  // Of a microVM that was removed meanwhile nobody asks; and a full disk is a verdict of its own.
  await unlessMissing(written, undefined, ["ENOENT", "ENOSPC", "EDQUOT"]);
};

/**
 * How the VMM ended, in words, from its log; null when nobody saw it end, as of one that lives: it can write there what it likes. Pure.
 */
export const exitIn = (log: string, isAlive = false): string | null =>
  (isAlive ? "" : log)
    .split("\n")
    .findLast((line) => line.startsWith(EXIT_MARK))
    ?.slice(EXIT_MARK.length) ?? null;
