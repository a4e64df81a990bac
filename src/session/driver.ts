/** The single owner of one session's transitions, from the request to the receipt. One driver per live session. */
import type { KeyObject } from "node:crypto";
import { withCallLog } from "../channel/call-log.ts";
import { connectChannel } from "../channel/connect.ts";
import type { GuestChannel } from "../channel/channel.ts";
import type { StageRecord, Warning } from "../contract/session.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import type { EvidenceFile } from "../diagnosis/evidence.ts";
import type { Image } from "../image/image.ts";
import { signReceipt } from "../handover/receipt.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { createMutex } from "../lib/mutex.ts";
import { awaitBrowser } from "../microvm/boot.ts";
import { MicrovmFailure } from "../microvm/failure.ts";
import { evidenceOf } from "./evidence.ts";
import { examineMicrovm, type Purpose } from "../microvm/examine.ts";
import { createHandover, type Handover } from "./handover.ts";
import { guestIdentity } from "./identity.ts";
import { createLookout, type Lookout } from "../microvm/lookout.ts";
import type { MicrovmDeps, Microvms, RunningMicrovm } from "../microvm/microvm.ts";
import { failureVerdict, keepRecord, type Body } from "./post-mortem.ts";
import { receiptBodyOf } from "./receipt-body.ts";
import { adoptMicrovm, launchMicrovm } from "../microvm/run.ts";
import { isOver, type Outcome, type Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";
import type { SessionChange, SessionStore } from "./store.ts";
import { watchGuest } from "../microvm/watch.ts";

export interface DriverDeps extends MicrovmDeps {
  store: SessionStore;
  microvms: Microvms;
  receiptKey: KeyObject;
  logger: Logger;
  /** Told after every change has been committed. */
  onChange: (session: Session) => void;
  providerTitle: (provider: string) => string;
  /** Told how long each boot stage took, in seconds. */
  onStage: (stage: string, seconds: number) => void;
  /** Told once when a boot is over, passed or not. */
  onBooted: (session: Session, vm: Microvm | undefined) => void;
}

/** Why a driver stops: the session ends, or the controller does and leaves the microVM running. */
type Stop = { outcome: Exclude<Outcome, "failed"> } | "detach";

/** How long an answered sign-in may stay on the screen before the microVM goes by itself. */
const AFTER_TAKEN_MS = 60_000;

export class SessionDriver {
  readonly #deps: DriverDeps;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  #session: Session;
  #vm: Microvm;
  #channel: GuestChannel | undefined;
  /** Changes wait for one another, so that each sees the generation the last one wrote. */
  readonly #exclusively = createMutex();
  #ending: SessionChange | undefined;
  readonly #lookout: Lookout;
  readonly handover: Handover;
  #warning: Warning | null = null;
  #question: Promise<Examination> | undefined;
  #afterTaken: NodeJS.Timeout | undefined;

  /** `ending`: how a driver before this one ended the session, and could not write it down. */
  constructor(deps: DriverDeps, session: Session, vm: Microvm, ending?: SessionChange) {
    this.#deps = deps;
    this.#ending = ending;
    this.#session = session;
    this.#vm = vm;
    this.#logger = deps.logger.child({ sessionId: session.id });
    this.handover = createHandover({
      channel: () => this.#channel,
      session: () => this.#session,
      change: (change) => this.#change(change),
      onCaught: () => deps.onChange(this.#session),
      signal: this.#stop.signal,
      logger: this.#logger,
    });
    this.#lookout = createLookout({
      look: () => this.#examine("warning"),
      onWarning: (warning) => {
        this.#warning = warning;
        deps.onChange(this.#session);
      },
      logger: this.#logger,
    });
  }

  /** What is in the guest's way now, while its deadline still runs. */
  get warning(): Warning | null {
    return this.#warning;
  }

  get session(): Session {
    return this.#session;
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
  async run(image?: Image): Promise<void> {
    // Never longer than a session's whole life, whatever the clock did since it began.
    const leftMs = Math.min(Date.parse(this.#session.expiresAt) - Date.now(), this.#deps.config.session.ttlSec * 1000);
    const timer = setTimeout(() => this.end("expired"), leftMs);
    if (this.#session.sealedTakenAt !== null) this.#endAfterTaken();
    const isEnding = this.#ending !== undefined || this.#session.state === "completing" || isOver(this.#session.state);
    try {
      if (!isEnding) await this.#live(image);
    } catch (error) {
      const stop = this.#stop.signal.aborted ? (this.#stop.signal.reason as Stop) : undefined;
      if (stop === "detach") return this.#channel?.close();
      const isTaken = this.#session.sealedTakenAt !== null;
      this.#ending = stop
        ? { state: "completing", outcome: isTaken ? "signed-in" : stop.outcome }
        : await this.#failure(error);
    } finally {
      clearTimeout(timer);
      clearTimeout(this.#afterTaken);
      this.#lookout.fine();
    }
    // Ends whatever of #live still runs beside the part that failed.
    this.#stop.abort();
    await this.#destroy();
  }

  /** Ends the session; the microVM is destroyed by `run`. */
  end(outcome: Exclude<Outcome, "failed">): void {
    this.#stop.abort({ outcome } satisfies Stop);
  }

  /** The controller stops; the microVM goes on and is adopted by the next one. */
  detach(): void {
    this.#stop.abort("detach" satisfies Stop);
  }

  async viewerConnected(): Promise<void> {
    if (this.#session.state === "ready") await this.#change({ state: "active" });
  }

  /** What is to be said of the microVM now; one look for all who ask while it lasts. */
  diagnose(): Promise<Examination> {
    this.#question ??= this.#examine("question").finally(() => (this.#question = undefined));
    return this.#question;
  }

  /** The same evidence that is kept at the end, as it is now. */
  async evidence(): Promise<EvidenceFile[]> {
    const examination = await this.diagnose();
    return evidenceOf(this.#deps, this.#session, this.#vm, { verdict: null, examination });
  }

  async #live(image: Image | undefined): Promise<never> {
    if (this.#session.state === "requested") await this.#change({ state: "starting" });
    const vm = await this.#running(image);
    const paths = this.#deps.paths.vm(vm.id);
    const channel = withCallLog(connectChannel({ socketPath: paths.channel, logger: this.#logger }), paths.channelLog);
    this.#channel = channel;
    const context = {
      address: vm.address,
      consoleFile: paths.console,
      channel,
      unreachableSec: this.#deps.config.session.unreachableSec,
      deadlinesSec: this.#deps.config.session.deadlinesSec,
      process: vm.process,
      lookout: this.#lookout,
      logger: this.#logger,
      signal: this.#stop.signal,
    };
    if (this.#session.state === "starting") {
      await awaitBrowser({
        ...context,
        passed: this.#session.stages,
        configure: () => guestIdentity(this.#session, vm, this.#deps),
        onStage: (stages) => this.#recordStages(stages),
      });
      await this.#change({ state: "ready" });
    }
    this.handover.collect();
    return watchGuest(context);
  }

  async #running(image: Image | undefined): Promise<RunningMicrovm> {
    const { microvms, vmm } = this.#deps;
    if (!image) {
      const { stages } = this.#session;
      const onStages = (passed: StageRecord[]) => this.#recordStages(passed);
      return adoptMicrovm({ ...this.#deps, vm: this.#vm, stages, onStages, logger: this.#logger });
    }
    const running = await launchMicrovm({
      microvms,
      vm: this.#vm,
      image,
      askedAt: this.#session.createdAt,
      backend: vmm.name,
      onStages: (stages) => this.#recordStages(stages),
    });
    this.#vm = running;
    return running;
  }

  #examine(purpose: Purpose): Promise<Examination> {
    return examineMicrovm(this.#deps, this.#vm, { stages: this.#session.stages, channel: this.#channel, purpose });
  }

  async #failure(error: unknown): Promise<SessionChange> {
    if (!(error instanceof MicrovmFailure)) this.#logger.error({ err: error }, "session failed unexpectedly");
    return { state: "failed", outcome: "failed", verdict: await failureVerdict(error, this.#body()) };
  }

  /** What cannot be written down, on a full disk, is destroyed all the same; the record is tried again afterwards. */
  async #destroy(): Promise<void> {
    if (this.#session.receipt) return;
    if (this.#ending?.state === "completing") {
      const ending = { state: "destroyed", outcome: this.#ending.outcome ?? null } as const;
      await keepRecord(this.#body(), { verdict: null, examination: undefined, ending });
    }
    await this.#recordEnding().catch((error: unknown) =>
      this.#logger.error({ error: messageOf(error) }, "the session's end could not be recorded yet"),
    );
    this.#channel?.close();
    const gone = await this.#deps.microvms.destroy(this.#vm);
    await this.#recordEnding();
    const receipt = signReceipt(receiptBodyOf(this.#session, this.#vm, gone), this.#deps.receiptKey);
    const end = this.#session.state === "completing" ? { state: "destroyed" as const } : {};
    await this.#change({ ...end, receipt });
  }

  async #recordEnding(): Promise<void> {
    if (this.#ending && this.#session.state !== this.#ending.state) await this.#change(this.#ending);
  }

  #body(): Body {
    const vm = this.#vm;
    return { deps: this.#deps, session: this.#session, vm, channel: this.#channel, logger: this.#logger };
  }

  async #recordStages(stages: StageRecord[]): Promise<void> {
    await this.#change({ stages });
    const last = stages.at(-1);
    if (last?.endedAt) {
      const ms = Date.parse(last.endedAt) - Date.parse(last.startedAt);
      this.#logger.info({ stage: last.stage, ms }, "boot stage passed");
      this.#deps.onStage(last.stage, ms / 1000);
    }
  }

  /** The requester has the result; one that does not come back to say so is not waited for. */
  #endAfterTaken(): void {
    clearTimeout(this.#afterTaken);
    this.#afterTaken = setTimeout(() => this.end("signed-in"), AFTER_TAKEN_MS);
  }

  #change(change: SessionChange): Promise<void> {
    return this.#exclusively(() => this.#apply(change));
  }

  async #apply(change: SessionChange): Promise<void> {
    const before = this.#session.state;
    this.#session = await this.#deps.store.change(this.#session, change);
    if (this.#session.state !== before) {
      this.#logger.info({ from: before, to: this.#session.state, verdict: this.#session.verdict?.code }, "session");
      if (before === "starting") this.#deps.onBooted(this.#session, this.#vm);
    }
    if (change.sealedTakenAt) this.#endAfterTaken();
    this.#deps.onChange(this.#session);
  }
}
