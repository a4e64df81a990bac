/**
 * Clones that are ready before anybody asks: restored, renewed, with an identity of their own, on the bridge and looked at from outside, but
 * nobody's yet. A session that takes one tells it whom it works for, and has its browser.
 */
import { connectChannel } from "../channel/connect.ts";
import type { Snapshot } from "../image/snapshots.ts";
import type { Image } from "../image/store.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { memAvailableMib } from "../lib/host-room.ts";
import type { Logger } from "../lib/logger.ts";
import { isAlive } from "../lib/process.ts";
import { awaitBrowser } from "./boot.ts";
import { machineIdentity } from "./identity.ts";
import { introduceClone } from "./introduce.ts";
import { launchMicrovm } from "./launch.ts";
import { handleOf, type MicrovmDeps, type RunningMicrovm } from "./microvm.ts";
import { NOBODY_TOLD } from "./lookout.ts";
import { createNobodys } from "./nobodys.ts";
import { contextOf } from "./stages.ts";
import type { Microvm } from "./store.ts";
import type { Beginning, Warm } from "./warm.ts";

export interface PoolDeps extends MicrovmDeps {
  warm: Pick<Warm, "beginningOf" | "cloneFailed" | "cloneIsWell">;
  findImage: () => Promise<Image | undefined>;
  /** Nobody waits for a microVM that starts. */
  isIdle: () => Promise<boolean>;
  logger: Logger;
}

export interface PoolMember {
  vm: RunningMicrovm;
  snapshot: Snapshot;
  /** For people: what it was restored from. */
  note: string;
  /** When it was ready, by the clock that people set and by the one that nobody does. */
  wallMs: number;
  steadyMs: number;
}

export type Pool = ReturnType<typeof createPool>;

/** Of a member: its Firefox does a little all the time. */
const MAX_AGE_MS = 3_600_000;
/** Between the two clocks, after which nobody knows what a guest makes of the time. */
const CLOCK_JUMP_MS = 60_000;
/** For a question to a member that waits. */
const ASK_MS = 5_000;
const UNUSABLE = "it ended, is too old, or the clock was set";
const UNWELL = "its agent does not answer, or its browser is gone";
const SOON_MS = 2 * 60_000;
/** Refills, one each minute, that give way to those who wait for a microVM. */
const GIVE_WAY_ROUNDS = 10;

export const createPool = (deps: PoolDeps) => {
  const { config, logger } = deps;
  const nobodys = createNobodys(deps);
  const ready: PoolMember[] = [];
  const stop = new AbortController();
  let filling: Promise<void> | undefined;
  let roundsGivenWay = 0;

  const isUsable = async ({ vm, wallMs, steadyMs }: PoolMember): Promise<boolean> => {
    const age = performance.now() - steadyMs;
    const jumped = Math.abs(Date.now() - wallMs - age);
    return age < MAX_AGE_MS && jumped < CLOCK_JUMP_MS && (await isAlive(vm.process));
  };

  /** Its agent answers, and its browser is there. */
  const isWell = async ({ vm }: PoolMember): Promise<boolean> => {
    const channel = connectChannel({ open: handleOf(deps, vm).openChannel, logger });
    try {
      return (await channel.call("health", {}, { timeoutMs: ASK_MS })).browser === "painted";
    } catch {
      return false;
    } finally {
      channel.close();
    }
  };

  const throwAway = async (member: PoolMember, why: string): Promise<void> => {
    logger.info({ vmId: member.vm.id, why }, "a clone that waited is thrown away");
    await nobodys.end(member.vm);
  };

  /** Whether it was here still: a session may have taken it meanwhile. */
  const withdraw = (member: PoolMember): boolean => {
    const at = ready.indexOf(member);
    return at !== -1 && ready.splice(at, 1).length === 1;
  };

  const faultOf = async (member: PoolMember, wanted: Snapshot | undefined): Promise<string | undefined> => {
    const { key, madeAt } = member.snapshot;
    if (key !== wanted?.key || madeAt !== wanted.madeAt) return "its snapshot is no longer the one of now";
    if (!(await isUsable(member))) return UNUSABLE;
    return (await isWell(member)) ? undefined : UNWELL;
  };

  const giveBack = (member: PoolMember): void => {
    if (stop.signal.aborted) leave(member, "the controller is stopping");
    else ready.push(member);
  };

  /** Not waited for: what stays is the reaper's. */
  const leave = (member: PoolMember, why: string): void =>
    void throwAway(member, why).catch((error: unknown) =>
      logger.warn({ error: messageOf(error) }, "a clone that waited could not be removed yet"),
    );

  /**
   * Those that may not be handed out go; `wanted`: what a new one would be restored from. Nobody gets one that is being asked: a guest hears one
   * host at a time.
   */
  const sort = async (wanted: Snapshot | undefined): Promise<void> => {
    for (const member of ready.slice()) {
      if (!withdraw(member)) continue;
      const fault = await faultOf(member, wanted);
      if (fault === undefined && !stop.signal.aborted) {
        giveBack(member);
        continue;
      }
      // It had been well: what ends so soon is its snapshot's fault.
      if (fault === UNWELL && performance.now() - member.steadyMs < SOON_MS) {
        await deps.warm.cloneFailed(member.snapshot, fault);
      }
      await throwAway(member, fault ?? "the controller is stopping");
    }
  };

  const addOne = async (image: Image, chosen: Pick<Microvm, "backend" | "accel" | "why">, beginning: Beginning) => {
    const { snapshot, plan, note } = beginning;
    if (!snapshot) return;
    const vm = await nobodys.begin(image, chosen);
    try {
      const running = await bringUp(vm, image, { plan, note });
      deps.warm.cloneIsWell(snapshot);
      ready.push({ vm: running, snapshot, note, wallMs: Date.now(), steadyMs: performance.now() });
    } catch (error) {
      if (!stop.signal.aborted) await deps.warm.cloneFailed(snapshot, messageOf(error));
      await nobodys.end(vm);
      stop.signal.throwIfAborted();
      throw error;
    }
  };

  const bringUp = async (
    vm: Microvm,
    image: Image,
    { plan, note }: Pick<Beginning, "plan" | "note">,
  ): Promise<RunningMicrovm> => {
    const { signal } = stop;
    const onStage = async (): Promise<void> => {};
    const running = await launchMicrovm(deps, vm, {
      image,
      plan,
      note,
      askedAt: vm.createdAt,
      onStages: onStage,
      signal,
    });
    const channel = connectChannel({ open: handleOf(deps, running).openChannel, logger });
    const configure = () => machineIdentity(vm, deps.network, "restore");
    try {
      const guest = { channel, process: running.process, signal };
      await awaitBrowser({
        ...guest,
        plan: "restore",
        ...contextOf(deps, vm),
        lookout: NOBODY_TOLD,
        logger,
        passed: [],
        steps: {
          introduce: (timeoutMs) =>
            introduceClone({ ...guest, configure, timeoutMs, isRenewed: false, onRenewed: onStage }),
          join: () => deps.network.join(vm),
        },
        onStage,
      });
      return running;
    } finally {
      channel.close();
    }
  };

  /** Starts go first, but who always starts one does not keep all others waiting for good. */
  const mayBegin = async (): Promise<boolean> => {
    roundsGivenWay = (await deps.isIdle()) ? 0 : roundsGivenWay + 1;
    return roundsGivenWay === 0 || roundsGivenWay > GIVE_WAY_ROUNDS;
  };

  const fill = async (): Promise<void> => {
    const image = config.warm.pool > 0 ? await deps.findImage() : undefined;
    if (!image) return sort(undefined);
    const { backend, accel, why } = await deps.vmms.choose(image.vmlinux);
    const beginning = await deps.warm.beginningOf(image, backend.name);
    if (beginning.isInDoubt) return;
    await sort(beginning.snapshot);
    while (ready.length < config.warm.pool && beginning.snapshot && !stop.signal.aborted) {
      if (!(await mayBegin()) || !(await hasRoom(config.vm.memoryMib))) return;
      await addOne(image, { backend: backend.name, accel, why }, beginning);
    }
  };

  return {
    /** One for a session on this image and backend, which is its from then on; undefined: there is none. */
    take: async (image: Pick<Image, "digest">, backend: string): Promise<PoolMember | undefined> => {
      for (;;) {
        const at = ready.findIndex(({ vm }) => vm.imageDigest === image.digest && vm.backend === backend);
        const [member] = at === -1 ? [] : ready.splice(at, 1);
        if (!member || (await isUsable(member))) return member;
        leave(member, UNUSABLE);
      }
    },

    /** Nobody took it after all. */
    giveBack,

    /** A session has it on record: it is no longer nobody's. */
    handedOver: ({ vm }: PoolMember): void => nobodys.forget(vm.id),

    /** As many as configured are ready, where the host has room and nobody waits for a microVM; what is wrong with one is in the log. */
    refill: (): Promise<void> =>
      (filling ??= fill()
        .catch((error: unknown) => {
          if (!stop.signal.aborted) logger.error({ error: messageOf(error) }, "no clone could be made ready");
        })
        .finally(() => (filling = undefined))),

    ready: (): number => ready.length,

    isNobodys: nobodys.has,

    /** Ends all that wait. */
    stop: async (): Promise<void> => {
      stop.abort(new AppError("unavailable", "stopping", "The controller is stopping."));
      await filling;
      await Promise.allSettled(ready.splice(0).map((member) => nobodys.end(member.vm)));
    },
  };
};

/** Besides another one's memory there must be enough for a session that boots. */
const hasRoom = async (memoryMib: number): Promise<boolean> => (await memAvailableMib()) > 2 * memoryMib;
