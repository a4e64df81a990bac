/** A former controller's microVM is taken over. */
import { stat } from "node:fs/promises";
import type { StageRecord } from "../contract/session.ts";
import { allTried } from "../lib/all-tried.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { isAlive, type ProcessIdentity } from "../lib/process.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { Network } from "../network/network.ts";
import { failWhenExited, MicrovmFailure } from "./failure.ts";
import { handleOf, type MicrovmDeps, type RunningMicrovm } from "./microvm.ts";
import type { Microvm } from "./store.ts";

const STATUS_MS = 5_000;

export interface AdoptOptions {
  /** Those recorded so far. */
  stages: StageRecord[];
  /** Told the stages passed so far, after each. */
  onStages: (stages: StageRecord[]) => Promise<void>;
  logger: Logger;
}

/** Throws MicrovmFailure when the former controller's microVM is gone, or never came to be. */
export const adoptMicrovm = async (deps: MicrovmDeps, vm: Microvm, options: AdoptOptions): Promise<RunningMicrovm> => {
  const { paths, network } = deps;
  if (!vm.process) throw interrupted();
  if (!(await unlessMissing(stat(paths.vm(vm.id).root), undefined))) {
    throw (await isAlive(vm.process)) ? folderGone(vm.process) : endNotRecorded();
  }
  await failWhenExited(vm.process, null);
  await recordVmmUp(deps, vm, options);
  try {
    // Tells the network whom it serves, so that it can mend a bridge that somebody removed.
    await attachAgain(network, vm);
  } catch (error) {
    // The guest lives, and may be reachable: the next round tries again.
    options.logger.error({ error: messageOf(error) }, "the microVM's network could not be set up again yet");
  }
  return { ...vm, process: vm.process };
};

/** The former controller may have ended between the machine's start and its record; or before, and then it never starts. */
const recordVmmUp = async (deps: MicrovmDeps, vm: Microvm, { stages, onStages }: AdoptOptions): Promise<void> => {
  if (stages.some(({ stage }) => stage === "vmm-up")) return;
  const status = await handleOf(deps, vm).status(STATUS_MS).catch(messageOf);
  if (status !== "running") throw interrupted();
  const startedAt = stages.at(-1)?.endedAt ?? vm.createdAt;
  await onStages([...stages, { stage: "vmm-up", startedAt, endedAt: new Date().toISOString(), source: vm.backend }]);
};

/** Each also when the one before failed: from now on each round of `ensure` includes this guest. */
const attachAgain = (network: Network, vm: Microvm): Promise<void> =>
  allTried(
    () => network.ensureHost(),
    () => network.prepare(vm),
    () => network.join(vm),
  );

const interrupted = (): MicrovmFailure =>
  new MicrovmFailure("vmm-up", {
    code: "interrupted",
    sentence: "The controller stopped while it was starting this virtual machine.",
    hint: "Start a new sign-in; nothing was signed in yet.",
    isSymptom: false,
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
