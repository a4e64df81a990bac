/** From a started VMM to a browser that is proven: each stage is asked until it passes, misses its deadline, or the VMM dies. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { GuestChannel } from "../channel/channel.ts";
import { GUEST_PROTOCOL, type GuestParams } from "../contract/guest.ts";
import type { BootStage, StageRecord, Verdict } from "../contract/session.ts";
import { guestNetworkLines } from "../diagnosis/evidence.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { isAlive, type ProcessIdentity } from "../lib/process.ts";
import { boundConsole, consoleTail } from "../vmm/console.ts";
import { STAGE_RULES, type StageContext, type StageRule } from "./stages.ts";

const ASK_INTERVAL_MS = 500;

/** A session cannot go on; the verdict says why in plain words. */
export class SessionFailure extends Error {
  override name = "SessionFailure";
  readonly verdict: Verdict;
  constructor(verdict: Verdict, cause?: unknown) {
    super(verdict.sentence, { cause });
    this.verdict = verdict;
  }
}

export interface BootOptions extends StageContext {
  process: ProcessIdentity;
  /** Stages already passed, e.g. before the controller was restarted. */
  passed: StageRecord[];
  configure: () => GuestParams<"configure">;
  onStage: (records: StageRecord[]) => Promise<void>;
  logger: Logger;
  signal: AbortSignal;
}

/** Throws SessionFailure, or the signal's reason. */
export const awaitBrowser = async (options: BootOptions): Promise<void> => {
  let records = options.passed;
  for (const rule of STAGE_RULES) {
    if (records.some((record) => record.stage === rule.stage && record.endedAt !== null)) continue;
    const startedAt = new Date().toISOString();
    await passStage(rule, options);
    if (rule.stage === "agent") await introduce(options);
    records = [
      ...records.filter((record) => record.stage !== rule.stage),
      { stage: rule.stage, startedAt, endedAt: new Date().toISOString(), source: rule.source },
    ];
    await options.onStage(records);
  }
};

const passStage = async (rule: StageRule, options: BootOptions): Promise<void> => {
  const deadline = performance.now() + rule.deadlineMs(options);
  let lastSeen: string | undefined;
  for (;;) {
    options.signal.throwIfAborted();
    const seen = await rule.check(options).catch(messageOf);
    if (seen === undefined) return;
    if (seen !== lastSeen) options.logger.info({ stage: rule.stage, seen }, "waiting");
    lastSeen = seen;
    await failWhenExited(options.process, options.consoleFile, rule.stage);
    await boundConsole(options.consoleFile);
    if (performance.now() >= deadline) throw await missedDeadline(rule, options, seen);
    await sleep(ASK_INTERVAL_MS, undefined, { signal: options.signal });
  }
};

/** The agent speaks our protocol and gets its identity: name, clock, entropy, resolver, session. */
const introduce = async ({ channel, configure, signal }: BootOptions): Promise<void> => {
  const call = { timeoutMs: 20_000, signal };
  const hello = await channel.call("hello", { protocol: GUEST_PROTOCOL }, call);
  if (hello.protocol !== GUEST_PROTOCOL) {
    throw new SessionFailure(
      newVerdict("agent", {
        code: "agent-protocol",
        sentence: `The image's agent speaks protocol ${hello.protocol}, this controller ${GUEST_PROTOCOL}.`,
        hint: "Build the image again: sallyport image build.",
        evidence: [`agent version ${hello.agentVersion}`],
      }),
    );
  }
  await channel.call(
    "configure",
    { ...configure(), clockMs: Date.now(), entropy: randomBytes(64).toString("base64") },
    call,
  );
};

/** Throws SessionFailure `vmm-exited` when the process is gone, with the end of the console. */
export const failWhenExited = async (
  process: ProcessIdentity,
  consoleFile: string,
  stage: BootStage | null,
): Promise<void> => {
  if (await isAlive(process)) return;
  throw new SessionFailure(
    newVerdict(stage, {
      code: "vmm-exited",
      sentence: "The virtual machine ended by itself: its process is gone.",
      hint: "The guest rebooted or crashed (see the console's last lines), or somebody killed the process; start a new sign-in.",
      evidence: [`process ${process.pid} is not there`, ...(await consoleLines(consoleFile))],
    }),
  );
};

const missedDeadline = async (rule: StageRule, options: BootOptions, seen: string): Promise<SessionFailure> =>
  new SessionFailure(
    newVerdict(rule.stage, {
      ...rule.missed,
      evidence: [
        `waited ${rule.deadlineMs(options) / 1000} s; last seen: ${seen}`,
        ...(await networkLines(rule.stage, options.channel)),
        ...(await consoleLines(options.consoleFile)),
      ],
    }),
  );

const networkLines = async (stage: BootStage, channel: GuestChannel): Promise<string[]> =>
  stage === "addressed" || stage === "reachable" ? guestNetworkLines(channel) : [];

const consoleLines = async (file: string): Promise<string[]> =>
  (await consoleTail(file, 8)).map((line) => `console: ${line}`);

/** A microVM that could not be started: the backend's own sentence is the verdict. Rethrows what is no AppError. */
export const launchFailure = (error: unknown): never => {
  if (!(error instanceof AppError)) throw error;
  throw new SessionFailure(
    newVerdict("vmm-up", {
      code: error.code,
      sentence: error.message,
      hint: error.hint ?? "Run sallyport doctor on this host.",
      evidence: [],
    }),
    error,
  );
};

/** A failure that no rule knows: said as it is. */
export const unexpected = (error: unknown): Verdict =>
  newVerdict(null, {
    code: error instanceof AppError ? error.code : "internal-error",
    sentence: messageOf(error),
    hint: (error instanceof AppError && error.hint) || "Read the controller's log for this session.",
    evidence: [],
  });

export const newVerdict = (
  stage: BootStage | null,
  parts: Pick<Verdict, "code" | "sentence" | "hint" | "evidence">,
): Verdict => ({ ...parts, stage, at: new Date().toISOString() });
