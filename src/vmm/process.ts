/** VMM processes of any kind: start one detached, end one for certain, find all that are ours. */
import { appendFile, constants } from "node:fs/promises";
import { resolve, sep } from "node:path";
import { startDaemon, type DaemonCommand } from "../lib/daemon.ts";
import { AppError } from "../lib/errors.ts";
import { commandLine, isAlive, killAll, processesOf, type ProcessIdentity } from "../lib/process.ts";
import { readEnd } from "../lib/read-end.ts";
import { redactText } from "../lib/redact.ts";
import { oneLine } from "../lib/terminal.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { leftInFolder } from "./folder.ts";
import { notStarted } from "./unprivileged.ts";
import type { FoundVmm, Left, StartHooks, VmmRange, VmmRecord } from "./vmm.ts";

/** The marker on a VMM's command line, as the value of its own option for a name. */
export const vmmName = (vmId: string): string => `${NAME_PREFIX}${vmId}`;
const NAME_PREFIX = "sallyport-";

/**
 * Starts a VMM and waits until it answers, as `hasAnswered` finds out; or until it died, or the start is ended. Whatever fails,
 * no process is left.
 */
export const startAnswering = async (
  vm: Omit<VmmRecord, "process">,
  command: Omit<DaemonCommand, "logFile">,
  hasAnswered: (signal: AbortSignal) => Promise<void>,
  { onProcess, signal }: StartHooks,
): Promise<ProcessIdentity> => {
  signal.throwIfAborted();
  const { identity, died } = await startVmm({ ...command, logFile: vm.paths.vmmLog });
  const waiting = new AbortController();
  try {
    await onProcess(identity);
    await Promise.race([hasAnswered(AbortSignal.any([waiting.signal, signal])), died]);
    return identity;
  } catch (error) {
    waiting.abort();
    await killVmm({ ...vm, process: identity });
    throw error;
  }
};

/** Starts a VMM, which outlives the controller; `died` rejects with AppError `vmm-died` when it ends. Throws AppError `vmm-missing`. */
export const startVmm = async (command: DaemonCommand) => {
  const { logFile } = command;
  const { identity, ended } = await startDaemon(command).catch((cause: unknown) => {
    throw notStarted(command.argv[0], cause);
  });
  const died = ended.then(async (how): Promise<never> => {
    const tail = oneLine(redactText((await readEnd(logFile, 2_000)) ?? "")).trim();
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

/**
 * All that runs for a microVM: every process of its user, whatever it says of itself, which is nobody else's while the
 * microVM has it; and the recorded one, which is still root's for an instant after its start.
 */
const processesOfVmm = async ({ uid, process }: VmmRecord): Promise<ProcessIdentity[]> => {
  const found = (await processesOf((user) => user === uid)).map((entry) => entry.process);
  const isRecordedElse = process && !found.some(({ pid }) => pid === process.pid) && (await isAlive(process));
  return isRecordedElse ? [...found, process] : found;
};

/** Kills all that runs for a microVM and waits until it is seen gone. Throws AppError `process-stays`. */
const killVmm = (vm: VmmRecord): Promise<void> => killAll(`The VMM of microVM ${vm.vmId}`, () => processesOfVmm(vm));

/** What a handle can do whatever the VMM, its processes being those of its user. */
export const handleOf = (vm: VmmRecord) => ({
  process: vm.process,
  processes: () => processesOfVmm(vm),
  kill: () => killVmm(vm),
  left: async (): Promise<Left[]> => {
    const processes = (await processesOfVmm(vm)).map(({ pid }) => ({ kind: "process", ref: String(pid) }));
    const user = processes.length > 0 ? [{ kind: "user", ref: String(vm.uid) }] : [];
    return [...user, ...processes, ...(await leftInFolder(vm))];
  },
});

/** VMMs among the processes of our users whose command line has our marker and, for the same microVM, a path below `vmsDir`. */
export const listVmms = async ({ vmsDir, uids: [first, last] }: VmmRange): Promise<FoundVmm[]> => {
  const ours = await processesOf((uid) => uid >= first && uid <= last);
  const marked = ours.map(async ({ process, uid }) => {
    const vmId = markedVm(await commandLine(process.pid), vmsDir);
    return vmId === undefined ? [] : [{ vmId, uid, process }];
  });
  return (await Promise.all(marked)).flat();
};

/** The microVM that a command line names both as a name and as a directory below `vmsDir`. Pure. */
export const markedVm = (args: string[], vmsDir: string): string | undefined => {
  const name = args.find((arg) => arg.startsWith(NAME_PREFIX));
  const vmId = /^[0-9a-z]+$/.exec(name?.slice(NAME_PREFIX.length) ?? "")?.[0];
  const directory = `${resolve(vmsDir)}${sep}${vmId}${sep}`;
  return vmId && args.some((arg) => arg.includes(directory)) ? vmId : undefined;
};

const EXIT_MARK = "sallyport: the VMM ";

/** How a process ended is known to its parent alone, and to nobody after a restart: so it stands in the VMM's log. */
const writeExit = async (logFile: string, how: string): Promise<void> => {
  // Without O_CREAT: the folder may be on its way out.
  const written = appendFile(logFile, `${EXIT_MARK}${how}\n`, { flag: constants.O_WRONLY | constants.O_APPEND });
  // Of a microVM that was removed meanwhile nobody asks; and a full disk is a verdict of its own.
  await unlessMissing(written, undefined, ["ENOENT", "ENOSPC", "EDQUOT"]);
};

/** How the VMM ended, in words, from its log; null when nobody saw it end. Pure. */
export const exitIn = (log: string): string | null =>
  log
    .split("\n")
    .findLast((line) => line.startsWith(EXIT_MARK))
    ?.slice(EXIT_MARK.length) ?? null;
