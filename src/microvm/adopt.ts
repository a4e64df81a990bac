/** A former controller's microVM is taken over. */
import { stat } from "node:fs/promises";
import { isPassed, planOf, type StageRecord, type StartStage } from "../contract/session.ts";
import { allTried } from "../lib/all-tried.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { isAlive, type ProcessIdentity } from "../lib/process.ts";
import { oneLine } from "../lib/terminal.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { poll } from "../lib/wait.ts";
import type { Network } from "../network/network.ts";
import type { MachineStatus } from "../vmm/vmm.ts";
import { failWhenExited, MicrovmFailure } from "./failure.ts";
import { handleOf, type MicrovmDeps, type RunningMicrovm } from "./microvm.ts";
import type { Microvm } from "./store.ts";

const STATUS_MS = 5_000;
/** For one on a host that swaps, or is busy with all the others that are asked at the same time. */
const PATIENCE_MS = 30_000;

export interface AdoptOptions {
  /** Those recorded so far. */
  stages: StageRecord[];
  /** Told the stages passed so far, after each. */
  onStages: (stages: StageRecord[]) => Promise<void>;
  logger: Logger;
  /** Ends the adoption at once. */
  signal: AbortSignal;
  /** Test seam: milliseconds that a silent VMM is given; default 30 000. */
  patienceMs?: number;
}

/** Throws MicrovmFailure when the former controller's microVM is gone, never came to be, or does not answer; or the signal's reason. */
export const adoptMicrovm = async (deps: MicrovmDeps, vm: Microvm, options: AdoptOptions): Promise<RunningMicrovm> => {
  const { paths, network } = deps;
  const stage = startStageOf(options.stages);
  if (!vm.process) throw interrupted(stage, ["no process of it was recorded"]);
  // Its start is on record before it is begun: this one is to be taken back, and may have another clone's keys.
  if (!options.stages.some((record) => record.stage === stage)) {
    throw interrupted(stage, [options.stages.length === 0 ? NOT_HANDED_OVER : NOT_STARTED_ANEW]);
  }
  if (!(await unlessMissing(stat(paths.vm(vm.id).root), undefined))) {
    throw (await isAlive(vm.process)) ? folderGone(vm.process) : endNotRecorded();
  }
  await failWhenExited(vm.process, null);
  const running = { ...vm, process: vm.process };
  await recordStarted(deps, running, options);
  // A clone that has no address of its own yet would have its template's.
  const isJoined = planOf(options.stages) === "boot" || isPassed(options.stages, "joined");
  try {
    // Tells the network whom it serves, so that it can mend a bridge that somebody removed.
    await attachAgain(network, vm, isJoined);
  } catch (error) {
    // The guest lives, and may be reachable: the next round tries again.
    options.logger.error({ error: messageOf(error) }, "the microVM's network could not be set up again yet");
  }
  return running;
};

const NOT_HANDED_OVER = "a clone that waited was about to be handed over to it";
const NOT_STARTED_ANEW = "it was about to be started anew, since its first start had failed";

const startStageOf = (stages: StageRecord[]): "vmm-up" | "restored" =>
  planOf(stages) === "boot" ? "vmm-up" : "restored";

/** The former controller may have ended between the machine's start and its record; or before, and then it never starts. */
const recordStarted = async (deps: MicrovmDeps, vm: RunningMicrovm, options: AdoptOptions): Promise<void> => {
  const { stages, onStages } = options;
  const stage = startStageOf(stages);
  if (isPassed(stages, stage)) return;
  const status = await machineStatus(deps, vm, options);
  if (status !== "running") throw interrupted(stage, [`its VMM says of the machine: ${status}`]);
  const begun = stages.find((record) => record.stage === stage);
  const startedAt = begun?.startedAt ?? stages.at(-1)?.endedAt ?? vm.createdAt;
  const record = { stage, startedAt, source: vm.backend, ...begun, endedAt: new Date().toISOString() } as const;
  await onStages([...stages.filter((other) => other !== begun), record]);
};

/** A VMM that is merely slow is no reason to end what may be in use. */
const machineStatus = async (
  deps: MicrovmDeps,
  vm: RunningMicrovm,
  { stages, signal, patienceMs = PATIENCE_MS }: AdoptOptions,
): Promise<MachineStatus> => {
  const handle = handleOf(deps, vm);
  let last: unknown;
  const ask = async (): Promise<MachineStatus | undefined> => {
    await failWhenExited(vm.process, startStageOf(stages));
    return handle.status(STATUS_MS).catch((error: unknown) => void (last = error));
  };
  try {
    return await poll(ask, { what: "the VMM's answer", timeoutMs: patienceMs, intervalMs: 250, signal });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    throw silent(startStageOf(stages), patienceMs, last);
  }
};

/** Each also when the one before failed: from now on each round of `ensure` includes this guest. */
const attachAgain = (network: Network, vm: Microvm, isJoined: boolean): Promise<void> =>
  allTried(
    () => network.prepare(vm),
    async () => {
      if (isJoined) await network.join(vm);
    },
  );

const interrupted = (stage: StartStage, evidence: string[]): MicrovmFailure =>
  new MicrovmFailure(stage, {
    code: "interrupted",
    sentence: "The controller stopped while it was starting this virtual machine.",
    hint: "Start a new sign-in; nothing was signed in yet.",
    evidence,
    isSymptom: false,
  });

const silent = (stage: StartStage, afterMs: number, cause: unknown): MicrovmFailure =>
  new MicrovmFailure(stage, {
    code: "vmm-silent",
    sentence: `The controller was started anew, and this virtual machine's VMM did not answer it for ${afterMs / 1000} s.`,
    hint: "Start a new sign-in. If it happens again, look whether the host is overloaded: sallyport doctor.",
    evidence: [`the VMM, asked how its machine is: ${oneLine(messageOf(cause))}`],
    cause,
  });

/** Its sockets and its console were in it: nobody can reach it any more. */
const folderGone = ({ pid }: ProcessIdentity): MicrovmFailure =>
  new MicrovmFailure(null, {
    code: "folder-gone",
    sentence:
      "Somebody removed this virtual machine's folder while it ran: it could not be reached any more, and was ended.",
    hint: "Leave what is in vms/ to the controller: sallyport destroy ends one. Start a new sign-in.",
    evidence: [`process ${pid} is there, and its folder is not`],
    isSymptom: false,
  });

/** The folder goes last of all that is outside, by our own hand: the VMM was not killed by somebody else. */
const endNotRecorded = (): MicrovmFailure =>
  new MicrovmFailure(null, {
    code: "end-not-recorded",
    sentence: "This session was ended and its virtual machine destroyed, but how it ended could not be written down.",
    hint: "The controller was stopped in the middle, its disk was full, or somebody did it by hand: sallyport doctor. Start a new sign-in.",
    isSymptom: false,
  });
