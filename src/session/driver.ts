/** The single owner of one session's transitions, from the request to the receipt. One driver per live session. */
import type { KeyObject } from "node:crypto";
import { withCallLog } from "../channel/call-log.ts";
import { connectChannel } from "../channel/connect.ts";
import type { GuestChannel } from "../channel/channel.ts";
import { isPassed, planOf, type StageRecord } from "../contract/session.ts";
import type { Snapshot } from "../image/snapshots.ts";
import type { Image } from "../image/store.ts";
import type { Logger } from "../lib/logger.ts";
import { awaitBrowser } from "../microvm/boot.ts";
import { failureOf, MicrovmFailure } from "../microvm/failure.ts";
import { createDeadline, type Deadline } from "./deadline.ts";
import { endSession } from "./ending.ts";
import { createHandover, type Handover } from "./handover.ts";
import { sessionIdentity } from "./identity.ts";
import { orAborted } from "../lib/wait.ts";
import { createLooks, type Looks } from "./looks.ts";
import { adoptMicrovm } from "../microvm/adopt.ts";
import { launchMicrovm } from "../microvm/launch.ts";
import { handleOf, type MicrovmDeps, type RunningMicrovm } from "../microvm/microvm.ts";
import { failureVerdict, type Body } from "./post-mortem.ts";
import { createRecord, type SessionRecord } from "./record.ts";
import { asItEnds, isOver, type Outcome, type Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";
import type { SessionChange, SessionStore } from "./store.ts";
import { machineIdentity } from "../microvm/identity.ts";
import { introduce, introduceClone, type IntroduceCloneOptions } from "../microvm/introduce.ts";
import type { PoolMember } from "../microvm/pool.ts";
import { undoLaunch } from "../microvm/destroy.ts";
import { contextOf } from "../microvm/stages.ts";
import type { Beginning, Warm } from "../microvm/warm.ts";
import { watchGuest, type WatchOptions } from "../microvm/watch.ts";

export interface DriverDeps extends MicrovmDeps {
  store: SessionStore;
  hostId: string;
  receiptKey: KeyObject;
  logger: Logger;
  /** Told after every change has been committed. */
  onChange: (session: Session) => void;
  providerTitle: (provider: string) => string;
  /** Told how long each stage took, in seconds. */
  onStage: (stage: string, seconds: number) => void;
  warm: Pick<Warm, "beginningOf" | "cloneFailed" | "cloneIsWell">;
  /** Told when a microVM boots because its clone failed. */
  onFallback: () => void;
  /** Told once when a boot is over, passed or not. */
  onBooted: (session: Session, vm: Microvm | undefined) => void;
}

/** Why a driver stops: the session ends, or the controller does and leaves the microVM running. */
type Stop = { outcome: Exclude<Outcome, "failed"> } | "detach";

export class SessionDriver {
  readonly #deps: DriverDeps;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  /** The session ends: also a start that is under way. One that is detached from in the middle is waited for, and adopted. */
  readonly #ended = new AbortController();
  readonly #record: SessionRecord;
  readonly #deadline: Deadline;
  readonly handover: Handover;
  readonly looks: Looks;
  #vm: Microvm;
  #channel: GuestChannel | undefined;
  #ending: SessionChange | undefined;

  /** `ending`: how a driver before this one ended the session, and could not write it down. */
  constructor(deps: DriverDeps, session: Session, vm: Microvm, ending?: SessionChange) {
    this.#deps = deps;
    this.#ending = ending;
    this.#vm = vm;
    const logger = deps.logger.child({ sessionId: session.id });
    this.#logger = logger;
    this.#deadline = createDeadline(deps.config.session.ttlSec, (outcome) => this.end(outcome));
    this.#record = createRecord({
      session,
      store: deps.store,
      logger,
      onChange: (now, before) => {
        if (before.state === "starting" && now.state !== "starting") deps.onBooted(now, this.#vm);
        if (before.sealedTakenAt === null && now.sealedTakenAt !== null) this.#deadline.taken();
        deps.onChange(now);
      },
    });
    this.handover = createHandover({
      channel: () => this.#channel,
      record: this.#record,
      onCaught: () => deps.onChange(this.session),
      signal: this.#stop.signal,
      logger,
    });
    this.looks = createLooks({
      deps,
      record: this.#record,
      vm: () => this.#vm,
      channel: () => this.#channel,
      onWarning: () => deps.onChange(this.session),
      logger,
    });
  }

  /** As its record has it, and as it ends also while that cannot be written down. */
  get session(): Session {
    return asItEnds(this.#record.session, this.#ending);
  }

  /** How the session ends, once that is known. */
  get ending(): SessionChange | undefined {
    return this.#ending;
  }

  /**
   * Lives the session to its end. `image` boots a new microVM; without one an existing microVM is adopted.
   * Resolves when the session is over and its microVM gone, or after `detach`. Rejects only when something of the
   * microVM refuses to go: the record then still names it, and the reaper asks again.
   */
  async run(image?: Image, waited?: PoolMember): Promise<void> {
    this.#deadline.begin(this.session);
    const isEnding = this.#ending !== undefined || this.session.state === "completing" || isOver(this.session.state);
    try {
      if (!isEnding) await this.#live(image, waited);
    } catch (error) {
      const stop = this.#stop.signal.aborted ? (this.#stop.signal.reason as Stop) : undefined;
      if (stop === "detach") return this.#channel?.close();
      this.#ending = stop
        ? { state: "completing", outcome: this.session.sealedTakenAt === null ? stop.outcome : "signed-in" }
        : await this.#failure(error);
    } finally {
      this.#deadline.clear();
      this.looks.lookout.fine();
    }
    // Ends whatever of #live still runs beside the part that failed.
    this.#stop.abort();
    await endSession({ ...this.#deps, record: this.#record, ending: this.#ending, body: () => this.#body() });
  }

  /** Ends the session; the microVM is destroyed by `run`. */
  end(outcome: Exclude<Outcome, "failed">): void {
    this.#stop.abort({ outcome } satisfies Stop);
    this.#ended.abort({ outcome } satisfies Stop);
  }

  /** The controller stops; the microVM goes on and is adopted by the next one. */
  detach(): void {
    this.#stop.abort("detach" satisfies Stop);
  }

  async viewerConnected(): Promise<void> {
    if (this.session.state === "ready") await this.#record.change({ state: "active" });
  }

  async #live(image: Image | undefined, waited: PoolMember | undefined): Promise<never> {
    if (this.session.state === "requested") await this.#record.change({ state: "starting" });
    const guest = image ? await this.#begin(image, waited) : await this.#takeUp();
    if (this.session.state === "starting") await this.#record.change({ state: "ready" });
    this.handover.collect();
    return watchGuest(guest);
  }

  async #begin(image: Image, waited: PoolMember | undefined): Promise<WatchOptions> {
    if (waited) return this.#orBoot(image, waited.snapshot, () => this.#takeOver(waited));
    // One that nobody read yet is read whole, which nobody who ends the session waits for.
    const asked = () => this.#deps.warm.beginningOf(image, this.#vm.backend);
    const { snapshot, ...beginning } = await orAborted(asked, this.#stop.signal);
    if (!snapshot) return this.#start(image, beginning);
    return this.#orBoot(image, snapshot, () => this.#start(image, beginning));
  }

  /** What is wrong with a clone keeps nobody from a browser: the microVM boots then. */
  async #orBoot(image: Image, snapshot: Snapshot, begin: () => Promise<WatchOptions>): Promise<WatchOptions> {
    const { warm, onFallback } = this.#deps;
    try {
      const guest = await begin();
      warm.cloneIsWell(snapshot);
      return guest;
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      const { sentence, evidence, stage } = failureOf(error).verdict;
      const why = [sentence, ...evidence].join(" ");
      // The bridge is the host's.
      if (stage !== "joined") await warm.cloneFailed(snapshot, why);
      onFallback();
      this.#channel?.close();
      this.#channel = undefined;
      // A controller that dies from here on leaves what nobody may take over.
      await this.#recordStages(this.session.stages.filter(({ stage }) => stage === "leased"));
      await undoLaunch(this.#deps, this.#vm);
      return this.#start(image, { plan: { kind: "boot" }, note: `cold, because the warm snapshot failed: ${why}` });
    }
  }

  /** Of a clone that waited: it knows which machine it is, and not for whom. */
  async #takeOver({ vm, note }: PoolMember): Promise<WatchOptions> {
    const now = new Date().toISOString();
    const passed = { startedAt: this.session.createdAt, endedAt: now, source: "pool" };
    await this.#recordStages([
      { stage: "leased", ...passed },
      { stage: "restored", ...passed, note },
      { stage: "identity", startedAt: now, endedAt: null, source: "pool", note: "renewed" },
    ]);
    return this.#toBrowser(vm, true);
  }

  async #start(image: Image, { plan, note }: Pick<Beginning, "plan" | "note">): Promise<WatchOptions> {
    const vm = await launchMicrovm(this.#deps, this.#vm, {
      image,
      plan,
      note,
      askedAt: this.session.createdAt,
      leased: this.session.stages.find(({ stage }) => stage === "leased"),
      onStages: (stages) => this.#recordStages(stages),
      signal: this.#ended.signal,
    });
    return this.#toBrowser(vm);
  }

  /** One of a former controller. */
  async #takeUp(): Promise<WatchOptions> {
    const vm = await adoptMicrovm(this.#deps, this.#vm, {
      stages: this.session.stages,
      onStages: (stages) => this.#recordStages(stages),
      logger: this.#logger,
      signal: this.#stop.signal,
    });
    return this.#toBrowser(vm);
  }

  /** `isKnown`: the guest has been told which machine it is. */
  async #toBrowser(vm: RunningMicrovm, isKnown = false): Promise<WatchOptions> {
    this.#vm = vm;
    const { openChannel: open } = handleOf(this.#deps, vm);
    const { channelLog } = this.#deps.paths.vm(vm.id);
    const channel = withCallLog(connectChannel({ open, logger: this.#logger }), channelLog);
    this.#channel = channel;
    const guest = {
      ...contextOf(this.#deps, vm),
      channel,
      process: vm.process,
      lookout: this.looks.lookout,
      logger: this.#logger,
      signal: this.#stop.signal,
    };
    if (this.session.state !== "starting") return guest;
    const plan = planOf(this.session.stages);
    const configure = () => ({
      ...(isKnown ? {} : machineIdentity(vm, this.#deps.network, plan)),
      ...sessionIdentity(this.session, this.#deps.providerTitle),
    });
    await awaitBrowser({
      ...guest,
      plan,
      passed: this.session.stages,
      steps: {
        introduce: (timeoutMs) =>
          plan === "boot"
            ? introduce({ ...guest, configure, timeoutMs })
            : introduceClone({ ...guest, configure, timeoutMs, ...this.#renewal() }),
        join: () => this.#deps.network.join(vm),
      },
      onStage: (stages) => this.#recordStages(stages),
    });
    return guest;
  }

  /** Of a clone: the record of its identity is begun when it has none of its template's secrets any more. */
  #renewal(): Pick<IntroduceCloneOptions, "isRenewed" | "onRenewed"> {
    const { stages } = this.session;
    const startedAt = stages.at(-1)?.endedAt ?? this.session.createdAt;
    const renewed = { stage: "identity", startedAt, endedAt: null, source: "channel", note: "renewed" } as const;
    return {
      isRenewed: stages.some(({ stage }) => stage === renewed.stage),
      onRenewed: () => this.#recordStages([...stages, renewed]),
    };
  }

  async #failure(error: unknown): Promise<SessionChange> {
    if (!(error instanceof MicrovmFailure)) this.#logger.error({ err: error }, "session failed unexpectedly");
    return { state: "failed", outcome: "failed", verdict: await failureVerdict(error, this.#body()) };
  }

  #body(): Body {
    return { deps: this.#deps, session: this.session, vm: this.#vm, channel: this.#channel, logger: this.#logger };
  }

  async #recordStages(stages: StageRecord[]): Promise<void> {
    const before = this.session.stages;
    await this.#record.change({ stages });
    for (const { stage, startedAt, endedAt } of stages) {
      if (endedAt === null || isPassed(before, stage)) continue;
      const ms = Date.parse(endedAt) - Date.parse(startedAt);
      this.#logger.info({ stage, ms }, "stage passed");
      this.#deps.onStage(stage, ms / 1000);
    }
  }
}
