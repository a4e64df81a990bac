/** A session's microVM runs afterwards: launched, or taken over from a former controller. */
import type { StageRecord } from "../contract/session.ts";
import type { Image } from "../image/image.ts";
import { failWhenExited, launchFailure, newVerdict, SessionFailure } from "./boot.ts";
import type { Microvms, RunningMicrovm } from "./microvm.ts";
import type { Microvm } from "./store.ts";

/** Throws SessionFailure when the former controller's microVM is gone, or never came to be. */
export const adoptMicrovm = async (microvms: Microvms, vm: Microvm): Promise<RunningMicrovm> => {
  if (!vm.process) throw interrupted();
  await failWhenExited(vm.process, null);
  // Tells the network whom it serves, so that it can mend a bridge that somebody removed.
  await microvms.adopt(vm);
  return { ...vm, process: vm.process };
};

export interface LaunchOptions {
  microvms: Microvms;
  vm: Microvm;
  image: Image;
  /** When the session was asked for, ISO 8601. */
  askedAt: string;
  /** Name of the VMM backend. */
  backend: string;
  /** Told the stages passed so far, after each. */
  onStages: (stages: StageRecord[]) => Promise<void>;
}

/** Throws SessionFailure with the backend's own sentence when the VMM does not start. */
export const launchMicrovm = async (options: LaunchOptions): Promise<RunningMicrovm> => {
  const { microvms, vm, image, askedAt, backend, onStages } = options;
  const leased: StageRecord = { stage: "leased", startedAt: askedAt, endedAt: now(), source: "ledger" };
  await onStages([leased]);
  const startedAt = now();
  const running = await microvms.launch(vm, image).catch(launchFailure);
  await onStages([leased, { stage: "vmm-up", startedAt, endedAt: now(), source: backend }]);
  return running;
};

const now = (): string => new Date().toISOString();

const interrupted = (): SessionFailure =>
  new SessionFailure(
    newVerdict("vmm-up", {
      code: "interrupted",
      sentence: "The controller stopped while it was starting this virtual machine.",
      hint: "Start a new sign-in; nothing was signed in yet.",
      evidence: [],
    }),
    { isSymptom: false },
  );
