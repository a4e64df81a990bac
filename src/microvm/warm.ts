/** Whether a microVM boots or is restored, and that there is a warm snapshot to restore it from: one for the image and host of now. */
import type { WarmView } from "../contract/api.ts";
import type { SnapshotInputs } from "../contract/snapshot-manifest.ts";
import { inputsOf, isFresh, snapshotKey, type Snapshot, type SnapshotStore } from "../image/snapshots.ts";
import type { Image } from "../image/store.ts";
import { diskFullOf } from "../lib/disk-full.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import type { StartPlan, VmmBackend } from "../vmm/vmm.ts";
import type { MicrovmDeps } from "./microvm.ts";
import { createNobodys } from "./nobodys.ts";
import { makeSnapshot } from "./template.ts";

export interface WarmDeps extends MicrovmDeps {
  snapshots: SnapshotStore;
  findImage: () => Promise<Image | undefined>;
  /** Nobody waits for a microVM that starts. */
  isIdle: () => Promise<boolean>;
  /** Test seam: see `TemplateOptions`. */
  quietMs?: number;
  logger: Logger;
}

/** How a microVM starts. */
export interface Beginning {
  plan: StartPlan;
  /** For people: what is restored, or why it boots. */
  note: string;
  /** That of a clone. */
  snapshot?: Snapshot;
  /** Whether there is a snapshot could not be found out just now. */
  isInDoubt?: boolean;
}

export type Warm = ReturnType<typeof createWarm>;

/** Clones of one snapshot that did not become a browser, after which it is thrown away. */
const MOST_FAILURES = 2;
/** After a snapshot could not be made; twice as long each time. */
const PAUSE_MS = 10 * 60_000;
const LONGEST_PAUSE_MS = 6 * 3_600_000;
/** Rounds in a row in which nobody waited: the first comes when the controller has just been started, often for somebody. */
const IDLE_ROUNDS = 2;
/** After as many it is made all the same: who always starts a session does not keep all others in the cold. */
const GIVE_WAY_ROUNDS = 15;
/** Of the greatest age: from then on another one is made, while sessions still start from the old one. */
const MIDDLE_AGE = 0.75;

export const createWarm = (deps: WarmDeps) => {
  const { config, snapshots, logger } = deps;
  const { snapshots: isOn, maxAgeHours } = config.warm;
  /** Clones in a row, by snapshot. */
  const failures = new Map<string, number>();
  /** Snapshots that are used no more, whether or not they could be removed. */
  const ended = new Set<string>();
  const nobodys = createNobodys(deps);
  const stop = new AbortController();
  let making: { digest: string; done: Promise<Snapshot>; doing: string } | undefined;
  let idleRounds = 0;
  /** Since there was one that is young. */
  let rounds = 0;
  let failed: { message: string | null; count: number; at: number } | undefined;

  /** The one to restore from; undefined: there is none, or it is too old. Throws AppError `snapshot-damaged`, and what the backend does. */
  const current = async (image: Image, backend: VmmBackend): Promise<Snapshot | undefined> => {
    const inputs = await inputsFor(image, backend);
    const found = inputs && (await snapshots.find(snapshotKey(inputs), stop.signal));
    return found && isFresh(found, maxAgeHours) && !ended.has(nameOf(found)) ? found : undefined;
  };

  /** As `current` with the backend of now, but nothing of it is read: it may be damaged. */
  const known = async (image: Image): Promise<Snapshot | undefined> => {
    const inputs = await inputsFor(image, (await deps.vmms.choose(image.vmlinux)).backend);
    const key = inputs && snapshotKey(inputs);
    const isUsed = (one: Snapshot): boolean => one.key === key && isFresh(one, maxAgeHours) && !ended.has(nameOf(one));
    return (await snapshots.list()).find(isUsed);
  };

  const inputsFor = async (image: Image, { snapshots: able }: VmmBackend): Promise<SnapshotInputs | undefined> =>
    able && inputsOf(image, await able.ground(image.vmlinux), config.vm);

  const make = (image: Image): Promise<Snapshot> => {
    if (!isOn)
      throw new AppError("unavailable", "no-snapshots", "Warm snapshots are switched off (warm.snapshots).", {
        hint: SWITCH_ON,
      });
    const { digest } = image;
    if (making?.digest === digest) return making.done;
    // One that is made of another image is nobody's wish any more, but has begun.
    const before = making?.done.catch(() => {});
    const begin = async (): Promise<Snapshot> => {
      await before;
      const { backend, accel, why } = await deps.vmms.choose(image.vmlinux);
      const inputs = await inputsFor(image, backend);
      if (!inputs) throw new AppError("unavailable", "no-snapshots", `${backend.name} makes no snapshots.`);
      return makeSnapshot(deps, {
        image,
        chosen: { backend: backend.name, accel, why },
        inputs,
        snapshots,
        nobodys,
        onProgress: (what) => {
          mine.doing = what;
          logger.info({ what }, "warm snapshot");
        },
        logger,
        ...(deps.quietMs === undefined ? {} : { quietMs: deps.quietMs }),
        signal: stop.signal,
      });
    };
    const done = begin()
      .then((snapshot) => {
        if (failed) failed.message = null;
        logger.info({ madeAt: snapshot.madeAt, coldMs: snapshot.coldMs }, "warm snapshot made");
        return snapshot;
      })
      .catch((error: unknown) => {
        noteTrouble(messageOf(diskFullOf(error) ?? error));
        throw error;
      })
      .finally(() => {
        if (making === mine) making = undefined;
      });
    // Whoever waits for it hears of it; else it is in the state.
    done.catch((error: unknown) => {
      if (!stop.signal.aborted) logger.error({ error: messageOf(error) }, "no warm snapshot could be made");
    });
    const mine = { digest, done, doing: "beginning" };
    making = mine;
    return done;
  };

  /** Old trouble is no reason for patience with new. */
  const noteTrouble = (message: string): void => {
    const at = performance.now();
    const before = failed && at - failed.at < LONGEST_PAUSE_MS ? failed.count : 0;
    failed = { message, count: before + 1, at };
  };

  const mayTryAgain = (): boolean => {
    if (!failed) return true;
    return performance.now() - failed.at > Math.min(PAUSE_MS * 2 ** (failed.count - 1), LONGEST_PAUSE_MS);
  };

  return {
    /** Never throws: whatever is wrong with a snapshot, a microVM can boot. */
    beginningOf: async (image: Image, backendName: string): Promise<Beginning> => {
      if (!isOn) return cold(SWITCHED_OFF);
      try {
        const backend = deps.vmms.of(backendName);
        if (!backend.snapshots) return cold(`${backendName} makes no snapshots`);
        const snapshot = await current(image, backend);
        if (!snapshot)
          return cold(
            making
              ? `the warm snapshot is being made (${making.doing})`
              : "there is no warm snapshot for this image on this host yet, or it is too old",
          );
        const plan = { kind: "restore", snapshot: snapshot.folder } as const;
        return { plan, note: `from the warm snapshot of ${snapshot.madeAt}`, snapshot };
      } catch (error) {
        logger.error({ error: messageOf(error) }, "no warm snapshot can be used");
        // Paths and checksums are the operator's to see.
        return isDamage(error) ? cold(DAMAGED) : { ...cold(IN_DOUBT), isInDoubt: true };
      }
    },

    /** A clone did not become a browser. Never throws: a microVM can boot. */
    cloneFailed: async (snapshot: Snapshot, why: string): Promise<void> => {
      const name = nameOf(snapshot);
      const count = (failures.get(name) ?? 0) + 1;
      failures.set(name, count);
      logger.warn({ why, count }, "a clone of the warm snapshot failed");
      if (count < MOST_FAILURES || ended.has(name)) return;
      // The first is made anew at once; where none is any good, what makes them is at rest in between.
      if (ended.size > 0) noteTrouble(`Its clones become no browser: ${why}`);
      ended.add(name);
      try {
        await snapshots.remove(snapshot.key, snapshot);
      } catch (error) {
        logger.error({ error: messageOf(error) }, "a warm snapshot whose clones failed could not be removed");
      }
    },

    cloneIsWell: (snapshot: Snapshot): void => void failures.delete(nameOf(snapshot)),

    /** Makes one now, or waits for the one that is being made. Throws what the making does. */
    make,

    /**
     * There is one, or it is being made from now on if nobody has waited for a microVM since the round before, or somebody always does;
     * older ones are gone. Does not wait for it.
     */
    keep: async (): Promise<void> => {
      const isIdle = await deps.isIdle();
      idleRounds = isIdle ? idleRounds + 1 : 0;
      rounds += 1;
      const image = isOn ? await deps.findImage() : undefined;
      if (!image) return void (await snapshots.keepOnly(undefined));
      const { backend } = await deps.vmms.choose(image.vmlinux);
      const inputs = await inputsFor(image, backend);
      const removed = await snapshots.keepOnly(inputs && snapshotKey(inputs));
      if (removed.length > 0) logger.info({ removed }, "old warm snapshots removed");
      if (!inputs || making) return;
      const found = await current(image, backend).catch(async (error: unknown) => {
        if (!isDamage(error)) throw error;
        logger.error({ error: messageOf(error) }, "the warm snapshot is made anew");
        await snapshots.remove(snapshotKey(inputs));
      });
      const isYoung = found ? isFresh(found, MIDDLE_AGE * maxAgeHours) : false;
      if (isYoung) rounds = 0;
      else if (mayTryAgain() && (idleRounds >= IDLE_ROUNDS || rounds > GIVE_WAY_ROUNDS)) {
        rounds = 0;
        make(image).catch(() => {});
      }
    },

    state: async (): Promise<Omit<WarmView, "pool">> => {
      const image = isOn ? await deps.findImage() : undefined;
      let failure = failed?.message ?? null;
      const found = image && (await known(image).catch((error: unknown) => void (failure ??= messageOf(error))));
      return {
        isOn,
        snapshot: found ? viewOf(found) : null,
        doing: making?.doing ?? null,
        failure: making ? null : failure,
      };
    },

    isNobodys: nobodys.has,

    /** Ends a making; resolves when nothing of it is left. */
    stop: async (): Promise<void> => {
      stop.abort(new AppError("unavailable", "stopping", "The controller is stopping."));
      await making?.done.catch(() => {});
    },
  };
};

const SWITCHED_OFF = "warm snapshots are switched off (warm.snapshots)";
const DAMAGED = "the warm snapshot is damaged";
const IN_DOUBT = "whether there is a warm snapshot could not be found out";
const SWITCH_ON = "Sessions boot. Switch them on in the configuration, and restart the controller.";

/** One that was made anew has the same key. */
const nameOf = ({ key, madeAt }: Snapshot): string => `${key} of ${madeAt}`;

const isDamage = (error: unknown): boolean => error instanceof AppError && error.code === "snapshot-damaged";

const viewOf = ({ inputs, madeAt, coldMs }: Snapshot): NonNullable<WarmView["snapshot"]> => ({
  imageDigest: inputs.imageDigest,
  madeAt,
  coldMs,
  vmm: inputs.ground["vmm"] ?? "",
});

const cold = (why: string): Beginning => ({ plan: { kind: "boot" }, note: `cold: ${why}` });
