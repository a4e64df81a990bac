/**
 * The making of a warm snapshot: a microVM that belongs to nobody boots an image, without an address and never on the bridge, until its
 * Firefox shows the waiting page; when all is quiet it is frozen, and destroyed. No page from outside can ever have been in it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { connectChannel } from "../channel/connect.ts";
import type { SnapshotInputs } from "../contract/snapshot-manifest.ts";
import type { StageRecord } from "../contract/session.ts";
import type { Snapshot, SnapshotStore } from "../image/snapshots.ts";
import type { Image } from "../image/store.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { cpuTimeMs, type ProcessIdentity } from "../lib/process.ts";
import type { Template } from "../vmm/vmm.ts";
import { awaitBrowser } from "./boot.ts";
import { greet } from "./introduce.ts";
import { machineSpec, startMicrovm } from "./launch.ts";
import { NOBODY_TOLD } from "./lookout.ts";
import type { MicrovmDeps } from "./microvm.ts";
import type { Nobodys } from "./nobodys.ts";
import { contextOf } from "./stages.ts";
import type { Microvm } from "./store.ts";

export interface TemplateOptions {
  image: Image;
  chosen: Pick<Microvm, "backend" | "accel" | "why">;
  inputs: SnapshotInputs;
  snapshots: SnapshotStore;
  nobodys: Nobodys;
  /** Told what is being done, in words. */
  onProgress: (what: string) => void;
  logger: Logger;
  /** Milliseconds that all must have been quiet for; default 5 000. */
  quietMs?: number;
  signal: AbortSignal;
}

/** Of one processor, over a window, below which a machine counts as quiet; and how long that is waited for. */
const QUIET = { share: 0.25, windowMs: 5_000, timeoutMs: 60_000 };
const SETTLE_MS = 60_000;
/** Nobody waits for it: a host that is busy has more time than a person. */
const PATIENCE = 4;

/** Nothing is left of its microVM, whatever fails, nor of the snapshot. Throws what a start does, the disk, and the signal's reason. */
export const makeSnapshot = async (deps: MicrovmDeps, options: TemplateOptions): Promise<Snapshot> => {
  const { image, chosen, inputs, nobodys, snapshots, signal } = options;
  signal.throwIfAborted();
  const unfinished = await snapshots.begin(inputs);
  try {
    const vm = await nobodys.begin(image, chosen);
    let made;
    try {
      made = await freezeTemplate(deps, vm, unfinished.folder, options);
    } finally {
      await nobodys.end(vm);
    }
    return await unfinished.finish(made, signal);
  } finally {
    await unfinished.discard();
  }
};

const freezeTemplate = async (deps: MicrovmDeps, vm: Microvm, folder: string, options: TemplateOptions) => {
  const { image, onProgress, signal } = options;
  const { snapshots } = deps.vmms.of(vm.backend);
  if (!snapshots) throw new Error(`${vm.backend} has no snapshots`);
  const begin = performance.now();
  onProgress("booting");
  const template = await startMicrovm(deps, vm, {
    spec: machineSpec(deps, vm, image),
    isJoined: false,
    start: (spec, hooks) => snapshots.startTemplate(spec, folder, hooks),
    signal,
  });
  const coldMs = await settle(deps, vm, template, options, begin);
  await untilQuiet(template.process, options.quietMs, signal);
  onProgress("freezing");
  await template.freeze(signal);
  return { madeAt: new Date().toISOString(), coldMs };
};

/** Until the channel to it is closed for good; answers the milliseconds from `begin` to the painted browser. */
const settle = async (
  deps: MicrovmDeps,
  vm: Microvm,
  { openChannel, process }: Template,
  { onProgress, logger, quietMs, signal }: TemplateOptions,
  begin: number,
): Promise<number> => {
  const channel = connectChannel({ open: openChannel, logger });
  try {
    await awaitBrowser({
      plan: "template",
      ...contextOf(deps, vm),
      channel,
      process,
      lookout: NOBODY_TOLD,
      logger,
      signal,
      passed: [],
      patience: PATIENCE,
      steps: { introduce: (timeoutMs) => greet({ channel, process, timeoutMs, signal }), join: async () => {} },
      onStage: async (records: StageRecord[]) => onProgress(`booted as far as: ${records.at(-1)?.stage ?? "nothing"}`),
    });
    const coldMs = Math.round(performance.now() - begin);
    onProgress("waiting until all is quiet");
    await untilQuiet(process, quietMs, signal);
    await channel.call("settle", {}, { timeoutMs: SETTLE_MS, signal });
    return coldMs;
  } finally {
    channel.close();
  }
};

/**
 * Firefox does a number of things once its first page is drawn; one that never rests is taken as it is. What runs at the moment of the
 * freeze is late in the clones: with a Firecracker before 1.16 a guest's kernel sees all the time that it was frozen
 * (firecracker-microvm/firecracker#5809), takes it for the running task's own, and lets each other that waits for the processor go first.
 */
export const untilQuiet = async (
  process: ProcessIdentity,
  windowMs = QUIET.windowMs,
  signal?: AbortSignal,
): Promise<void> => {
  const deadline = performance.now() + QUIET.timeoutMs;
  for (let before = await cpuTimeMs(process); performance.now() < deadline;) {
    await sleep(windowMs, undefined, signal ? { signal } : {});
    const now = await cpuTimeMs(process);
    if (now === undefined || before === undefined) throw ended();
    if (now - before < QUIET.share * windowMs) return;
    before = now;
  }
};

const ended = (): AppError => new AppError("internal", "vmm-exited", "The template's VMM ended before it was frozen.");
