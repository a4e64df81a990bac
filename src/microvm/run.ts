/** A session's microVM runs afterwards: launched, or taken over from a former controller. */
import { stat } from "node:fs/promises";
import type { StageRecord } from "../contract/session.ts";
import type { Image } from "../image/image.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import type { DataPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { VmmBackend } from "../vmm/vmm.ts";
import { failWhenExited, failWith, MicrovmFailure } from "./failure.ts";
import type { Microvms, RunningMicrovm } from "./microvm.ts";
import type { Microvm } from "./store.ts";

export interface RunOptions {
  microvms: Microvms;
  paths: DataPaths;
  vmm: Pick<VmmBackend, "name">;
  vm: Microvm;
  /** What a new one is booted from; absent: the one of a former controller is taken over. */
  image: Image | undefined;
  /** When the session was asked for, ISO 8601. */
  askedAt: string;
  /** Those passed so far. */
  stages: StageRecord[];
  /** Told the stages passed so far, after each. */
  onStages: (stages: StageRecord[]) => Promise<void>;
  logger: Logger;
}

/** Throws MicrovmFailure with the backend's own sentence when the VMM does not start, or when the former controller's is gone. */
export const runMicrovm = (options: RunOptions): Promise<RunningMicrovm> =>
  options.image ? launch(options, options.image) : adopt(options);

const adopt = async (options: RunOptions): Promise<RunningMicrovm> => {
  const { microvms, paths, vm } = options;
  if (!vm.process) throw interrupted();
  if (!(await isThere(paths.vm(vm.id).root))) throw endNotRecorded();
  await failWhenExited(vm.process, null);
  await recordVmmUp(options);
  try {
    // Tells the network whom it serves, so that it can mend a bridge that somebody removed.
    await microvms.adopt(vm);
  } catch (error) {
    // The guest lives, and may be reachable: the next round tries again.
    options.logger.error({ error: messageOf(error) }, "the microVM's network could not be set up again yet");
  }
  return { ...vm, process: vm.process };
};

/** The former controller may have ended between the VMM's start and its record. */
const recordVmmUp = async ({ vmm, vm, stages, onStages }: RunOptions): Promise<void> => {
  if (stages.some(({ stage }) => stage === "vmm-up")) return;
  const startedAt = stages.at(-1)?.endedAt ?? vm.createdAt;
  await onStages([...stages, { stage: "vmm-up", startedAt, endedAt: now(), source: vmm.name }]);
};

const isThere = async (folder: string): Promise<boolean> =>
  (await unlessMissing(stat(folder), undefined)) !== undefined;

const launch = async ({ microvms, vm, vmm, askedAt, onStages }: RunOptions, image: Image): Promise<RunningMicrovm> => {
  const leased: StageRecord = { stage: "leased", startedAt: askedAt, endedAt: now(), source: "ledger" };
  await onStages([leased]);
  const startedAt = now();
  const running = await microvms
    .launch(vm, image)
    .catch((error: unknown) => failWith(error, "vmm-up", "Run sallyport doctor on this host."));
  await onStages([leased, { stage: "vmm-up", startedAt, endedAt: now(), source: vmm.name }]);
  return running;
};

const now = (): string => new Date().toISOString();

const interrupted = (): MicrovmFailure =>
  new MicrovmFailure(
    "vmm-up",
    {
      code: "interrupted",
      sentence: "The controller stopped while it was starting this virtual machine.",
      hint: "Start a new sign-in; nothing was signed in yet.",
    },
    { isSymptom: false },
  );

/** The folder goes last of all that is outside, by our own hand: the VMM was not killed by somebody else. */
const endNotRecorded = (): MicrovmFailure =>
  new MicrovmFailure(
    null,
    {
      code: "end-not-recorded",
      sentence: "This session was ended and its virtual machine destroyed, but how it ended could not be written down.",
      hint: "The controller was stopped in the middle, or its disk was full: sallyport doctor. Start a new sign-in.",
    },
    { isSymptom: false },
  );
