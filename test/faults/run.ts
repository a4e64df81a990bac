/** All faults, and the healthy guests among them: at most two guests at a time, on three hosts that cannot disturb each other. */
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { planOf, type StartStage } from "../../src/contract/session.ts";
import { NOTHING_WRONG } from "../../src/diagnosis/codes.ts";
import { buildImage } from "../../src/image/build.ts";
import type { OnProgress } from "../../src/image/progress.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import {
  CLONE_FATAL_FAULTS,
  CLONE_GUEST_FAULTS,
  CLONE_HOST_FAULTS,
  CLONE_MARK,
  FATAL_FAULTS,
  GUEST_FAULTS,
  HOST_FAULTS,
  SAME_ADDRESS,
  type Fault,
  type GuestFault,
  type HostFault,
} from "./faults.ts";
import type { Scene } from "./host-faults.ts";
import { shareSnapshot } from "../fixtures/data-dir.ts";
import { ask, askAfter, askLater, untilFailed, type Judgement } from "./judge.ts";
import type { FaultResult } from "./report.ts";
import { createSlots, type Slots } from "./slots.ts";
import { createStand, UNREACHABLE_SEC, type Stand } from "./stand.ts";

export interface RunOptions {
  /** Data directory for images and what lies beside them. */
  cacheDir: string;
  /** Numbers of the faults wanted; the default is all. */
  only?: number[];
  /** Ends it early, with nothing left behind. */
  signal?: AbortSignal;
  onProgress?: OnProgress;
  /** Called with each result as it comes. */
  onResult?: (result: FaultResult) => void;
}

interface Bench extends Required<RunOptions> {
  slots: Slots;
  results: FaultResult[];
}

const MAX_GUESTS = 2;
const BUILD_TIMEOUT_MS = 15 * 60_000;

/** Throws when something else than a verdict goes wrong: a stand that cannot be set up, a guest that should be healthy and fails. */
export const runFaults = async (options: RunOptions): Promise<FaultResult[]> => {
  await buildImages(options);
  const failing = new AbortController();
  const bench: Bench = {
    only: [],
    onProgress: () => {},
    onResult: () => {},
    ...options,
    signal: options.signal ? AbortSignal.any([options.signal, failing.signal]) : failing.signal,
    slots: createSlots(MAX_GUESTS),
    results: [],
  };
  const lanes = [runOnHealthyGuest(bench), runInBrokenGuests(bench), runOnClones(bench)];
  for (const lane of lanes) lane.catch((error: unknown) => failing.abort(error));
  // All, also when one fails: nothing of any stays behind.
  await Promise.allSettled(lanes);
  bench.signal.throwIfAborted();
  return bench.results.sort((a, b) => a.number - b.number);
};

/** Of their own names, so that other tests' image of the day stays what it is. */
const PLAIN_IMAGE = "faults-plain";
const FAULTS_IMAGE = "faults";

const buildImages = async ({ cacheDir, onProgress, signal }: RunOptions): Promise<void> => {
  const timeout = AbortSignal.timeout(BUILD_TIMEOUT_MS);
  const common = {
    paths: dataPaths(cacheDir),
    signal: signal ? AbortSignal.any([timeout, signal]) : timeout,
    ...(onProgress ? { onProgress } : {}),
  };
  await buildImage({ ...common, name: PLAIN_IMAGE });
  const recipeFile = fileURLToPath(new URL("image/recipe.yaml", import.meta.url));
  await buildImage({ ...common, name: FAULTS_IMAGE, recipeFile });
};

/** The image as users have it: the host breaks around it, and it must be found healthy before, in between and after. */
const runOnHealthyGuest = async (bench: Bench): Promise<void> => {
  const hostFaults = HOST_FAULTS.filter((fault) => isWanted(bench, fault));
  const { tapDown } = FATAL_FAULTS;
  const rest = [SAME_ADDRESS(""), tapDown].filter((fault) => isWanted(bench, fault));
  if (hostFaults.length + rest.length === 0) return;

  await onStand("plain", bench, { image: PLAIN_IMAGE, diskMib: 4096 }, async (stand) => {
    await bench.slots.use(async () => {
      const scene = await healthyGuest(bench, stand, {}, "the image as it is");
      await breakHostAround(bench, scene, hostFaults);
      const sameAddress = SAME_ADDRESS(scene.vm.address);
      if (isWanted(bench, sameAddress)) {
        await bench.slots.use(() => judgeGuest(bench, stand, sameAddress));
        await expectHealthy(bench, scene, "after another guest took its address");
      }
      if (isWanted(bench, tapDown)) await judgeFatal(bench, scene, tapDown, UNREACHABLE_SEC);
    });
  });
};

/** The image with the saboteur in it. */
const runInBrokenGuests = async (bench: Bench): Promise<void> => {
  const faults = GUEST_FAULTS.filter((fault) => isWanted(bench, fault));
  const { vmmKilled } = FATAL_FAULTS;
  if (faults.length === 0 && !isWanted(bench, vmmKilled)) return;

  await onStand("broken", bench, { image: FAULTS_IMAGE }, async (stand) => {
    const guests = faults.map((fault) => () => judgeGuest(bench, stand, fault));
    if (isWanted(bench, vmmKilled)) {
      guests.unshift(async () => {
        const scene = await healthyGuest(bench, stand, { inGuest: "none" }, "the faults' image without a fault");
        await judgeFatal(bench, scene, vmmKilled, 0);
      });
    }
    // Not all at once: the other host must not stand in a queue behind all of them.
    const oneAfterTheOther = async (): Promise<void> => {
      for (let guest = guests.shift(); guest; guest = guests.shift()) await bench.slots.use(guest);
    };
    await Promise.all(Array.from({ length: MAX_GUESTS }, oneAfterTheOther));
  });
};

/** Clones of the image with the saboteurs in it, one after the other: they take seconds. */
const runOnClones = async (bench: Bench): Promise<void> => {
  const { cacheDir, signal } = bench;
  const [onOne, asked, fatal] = [CLONE_HOST_FAULTS, CLONE_GUEST_FAULTS, CLONE_FATAL_FAULTS].map((faults) =>
    faults.filter((fault) => isWanted(bench, fault)),
  ) as [HostFault[], HostFault[], HostFault[]];
  if (onOne.length + asked.length + fatal.length === 0) return;

  await onStand("clones", bench, { image: FAULTS_IMAGE, isWarm: true }, async (stand) => {
    await bench.slots.use(async () => {
      await shareSnapshot(stand.client, { cacheDir, dataDir: stand.paths.root, image: FAULTS_IMAGE }, signal);
      const scene = await healthyClone(bench, stand);
      await breakHostAround(bench, scene, onOne);
      await stand.client.destroy(scene.sessionId);
      for (const fault of asked) {
        const broken = await healthyClone(bench, stand);
        await fault.make(broken);
        record(bench, fault, await askLater(stand, broken.sessionId));
        await leave(bench, stand, broken.sessionId, `clone-${fault.number}`);
      }
      for (const fault of fatal) {
        const { vmmKilled } = FATAL_FAULTS;
        const doomed = await healthyClone(bench, stand);
        await judgeFatal(bench, doomed, fault, fault.number === vmmKilled.number ? 0 : UNREACHABLE_SEC);
      }
    });
  });
};

/** A clone that is none would make every row after it a lie. */
const healthyClone = async (bench: Bench, stand: Stand): Promise<Scene> => {
  const scene = await healthyGuest(bench, stand, {}, `${CLONE_MARK}the image as it is`, "screen");
  const { stages } = await stand.client.session(scene.sessionId);
  if (planOf(stages) !== "restore") throw new Error(`it is no clone: ${stages.map(({ note = "" }) => note).join()}`);
  return scene;
};

const breakHostAround = async (bench: Bench, scene: Scene, faults: HostFault[]): Promise<void> => {
  for (const fault of faults) {
    const mend = await fault.make(scene);
    record(bench, fault, await ask(scene.stand, scene.sessionId));
    await mend();
    await expectHealthy(bench, scene, `after "${fault.title}" was mended`);
  }
};

const onStand = async (
  name: string,
  { cacheDir, signal }: Bench,
  options: Parameters<typeof createStand>[2],
  work: (stand: Stand) => Promise<void>,
): Promise<void> => {
  signal.throwIfAborted();
  const stand = await createStand(name, cacheDir, options);
  const aborted = once(signal, "abort").then(() => signal.throwIfAborted());
  try {
    await Promise.race([work(stand), aborted]);
  } finally {
    await stand.destroy();
  }
};

const judgeGuest = async (bench: Bench, stand: Stand, fault: GuestFault): Promise<void> => {
  const { sessionId } = await stand.begin(fault.sabotage);
  try {
    const { askAfter: stage } = fault;
    record(bench, fault, await (stage ? askAfter(stand, sessionId, stage) : untilFailed(stand, sessionId)));
  } finally {
    await leave(bench, stand, sessionId, `fault-${fault.number}`);
  }
};

/** `grantedSec`: how long the watch leaves a guest alone that has it. */
const judgeFatal = async (bench: Bench, scene: Scene, fault: HostFault, grantedSec: number): Promise<void> => {
  await fault.make(scene);
  const failure = { at: Date.now() + grantedSec * 1000, what: grantedSec > 0 ? "the watch's deadline" : "the fault" };
  record(bench, fault, await untilFailed(scene.stand, scene.sessionId, failure));
};

const healthyGuest = async (
  bench: Bench,
  stand: Stand,
  plan: object,
  title: string,
  stage: StartStage = "browser",
): Promise<Scene> => {
  const { sessionId } = await stand.begin(plan);
  const judgement = await askAfter(stand, sessionId, stage);
  recordHealthy(bench, title, judgement);
  const vm = (await stand.client.vms()).find((one) => one.sessionId === sessionId);
  if (!vm) throw new Error(`the guest that should be healthy is gone: ${JSON.stringify(judgement)}`);
  return { stand, vm, sessionId };
};

const expectHealthy = async (bench: Bench, { stand, sessionId }: Scene, title: string): Promise<void> =>
  recordHealthy(bench, title, await ask(stand, sessionId));

const isWanted = ({ only }: Bench, { number }: Fault): boolean => only.length === 0 || only.includes(number);

const record = (bench: Bench, { number, title, verdict }: Fault, judgement: Judgement): void =>
  keep(bench, { number, title, expected: verdict, ...judgement });

/** Number 0: no fault. */
const recordHealthy = (bench: Bench, title: string, judgement: Judgement): void =>
  keep(bench, { number: 0, title: `healthy: ${title}`, expected: NOTHING_WRONG, ...judgement });

const keep = (bench: Bench, result: FaultResult): void => {
  bench.results.push(result);
  bench.onResult(result);
};

/** The console stays for whoever wants to see the fault with their own eyes. */
const leave = async ({ cacheDir }: Bench, { client }: Stand, sessionId: string, name: string): Promise<void> => {
  const folder = join(cacheDir, "boot-data", "fault-consoles");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${name}.log`), await client.console(sessionId));
  await client.destroy(sessionId);
};
