/** From a started VMM to a browser that is proven: each stage is asked until it passes, misses its deadline, or the VMM dies. */
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { GUEST_PROTOCOL, type GuestParams } from "../contract/guest.ts";
import type { GuestChannel } from "../channel/channel.ts";
import type { BootStage, StageRecord, Verdict } from "../contract/session.ts";
import { createConsoleReader, type ConsoleReader } from "../diagnosis/console-reader.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { oneLine } from "../lib/terminal.ts";
import { isAlive, type ProcessIdentity } from "../lib/process.ts";
import { msUntil } from "../lib/wait.ts";
import { boundConsole } from "../vmm/console.ts";
import type { Lookout } from "./lookout.ts";
import { deadlineMsOf, STAGE_RULES, type StageContext, type StageRule } from "./stages.ts";

const ASK_INTERVAL_MS = 500;
/** For one question of a stage; the last one ends with the stage's deadline. */
const CHECK_MS = 3000;

/** A session cannot go on; the verdict says why in plain words. */
export class MicrovmFailure extends Error {
  override name = "MicrovmFailure";
  readonly verdict: Verdict;
  /** Only what was noticed: diagnosis looks for the cause behind it. */
  readonly isSymptom: boolean;
  constructor(verdict: Verdict, { isSymptom, cause }: { isSymptom: boolean; cause?: unknown }) {
    super(verdict.sentence, { cause });
    this.verdict = verdict;
    this.isSymptom = isSymptom;
  }
}

export interface BootOptions extends StageContext {
  process: ProcessIdentity;
  /** Stages already passed, e.g. before the controller was restarted. */
  passed: StageRecord[];
  configure: () => GuestParams<"configure">;
  onStage: (records: StageRecord[]) => Promise<void>;
  lookout: Lookout;
  logger: Logger;
  signal: AbortSignal;
}

/** Throws MicrovmFailure, or the signal's reason. */
export const awaitBrowser = async (options: BootOptions): Promise<void> => {
  let records = options.passed;
  const console = createConsoleReader(options.consoleFile);
  for (const rule of STAGE_RULES) {
    if (records.some((record) => record.stage === rule.stage && record.endedAt !== null)) continue;
    const startedAt = new Date().toISOString();
    await passStage(rule, console, options);
    options.lookout.fine();
    if (rule.stage === "agent") await introduce(options);
    records = [
      ...records.filter((record) => record.stage !== rule.stage),
      { stage: rule.stage, startedAt, endedAt: new Date().toISOString(), source: rule.source },
    ];
    await options.onStage(records);
  }
};

const passStage = async (rule: StageRule, console: ConsoleReader, options: BootOptions): Promise<void> => {
  const begin = performance.now();
  const deadline = begin + deadlineMsOf(rule, options);
  let lastSeen: string | undefined;
  for (;;) {
    options.signal.throwIfAborted();
    const seen = await rule.check(options, Math.min(CHECK_MS, msUntil(deadline))).catch(messageOf);
    if (seen === undefined) return;
    if (seen !== lastSeen) options.logger.info({ stage: rule.stage, seen }, "waiting");
    lastSeen = seen;
    await failWhenExited(options.process, rule.stage);
    await failWhenStopped(console, rule.stage);
    failWhenFlooding(options.channel, rule.stage);
    await boundConsole(options.consoleFile);
    if (performance.now() >= deadline) throw missedDeadline(rule, options, seen);
    if (performance.now() - begin >= rule.slowMs) options.lookout.slow(deadline);
    await sleep(ASK_INTERVAL_MS, undefined, { signal: options.signal });
  }
};

/** The agent speaks our protocol and gets its identity: name, clock, entropy, resolver, session. */
const introduce = async ({ channel, configure, signal }: BootOptions): Promise<void> => {
  const call = { timeoutMs: 20_000, signal };
  const hello = await channel.call("hello", { protocol: GUEST_PROTOCOL }, call);
  if (hello.protocol !== GUEST_PROTOCOL) {
    throw new MicrovmFailure(
      newVerdict("agent", {
        code: "agent-protocol",
        sentence: `The image's agent speaks protocol ${hello.protocol}, this controller ${GUEST_PROTOCOL}.`,
        hint: "Build the image again: sallyport image build.",
        evidence: [`agent version ${oneLine(hello.agentVersion)}`],
      }),
      { isSymptom: false },
    );
  }
  await channel.call(
    "configure",
    { ...configure(), clockMs: Date.now(), entropy: randomBytes(64).toString("base64") },
    call,
  );
};

/** Throws MicrovmFailure `vmm-exited` when the process is gone. */
export const failWhenExited = async (process: ProcessIdentity, stage: BootStage | null): Promise<void> => {
  if (await isAlive(process)) return;
  throw new MicrovmFailure(
    newVerdict(stage, {
      code: "vmm-exited",
      sentence: "The virtual machine ended by itself: its process is gone.",
      hint: "The guest rebooted or crashed (see the console's last lines), or somebody killed the process; start a new sign-in.",
      evidence: [`process ${process.pid} is not there`],
    }),
    { isSymptom: true },
  );
};

/** Nothing more is heard of a guest whose channel was closed. Throws MicrovmFailure `guest-floods`. */
export const failWhenFlooding = ({ traffic }: GuestChannel, stage: BootStage | null): void => {
  if (!traffic.isFlooding) return;
  throw new MicrovmFailure(
    newVerdict(stage, {
      code: "guest-floods",
      sentence: "The guest sent more over its channel than may be read of one, and the channel was closed.",
      hint: "Start a new sign-in.",
      evidence: [],
    }),
    { isSymptom: true },
  );
};

/** A guest that says itself that nothing more will come is not waited for. Throws MicrovmFailure `guest-stopped`. */
const failWhenStopped = async (console: ConsoleReader, stage: BootStage): Promise<void> => {
  const { panic, isEmergencyShell } = await console.look();
  if (panic === null && !isEmergencyShell) return;
  throw new MicrovmFailure(
    newVerdict(stage, {
      code: "guest-stopped",
      sentence: "The guest stopped in the middle of its start.",
      hint: "Read the end of its console.",
      evidence: [],
    }),
    { isSymptom: true },
  );
};

const missedDeadline = (rule: StageRule, options: BootOptions, seen: string): MicrovmFailure =>
  new MicrovmFailure(
    newVerdict(rule.stage, {
      ...rule.missed,
      evidence: [`waited ${deadlineMsOf(rule, options) / 1000} s; last seen: ${seen}`],
    }),
    { isSymptom: true },
  );

/** A microVM that could not be started: the backend's own sentence is the verdict. Rethrows what is no AppError. */
export const launchFailure = (error: unknown): never => {
  if (!(error instanceof AppError)) throw error;
  throw new MicrovmFailure(
    newVerdict("vmm-up", {
      code: error.code,
      sentence: error.message,
      hint: error.hint ?? "Run sallyport doctor on this host.",
      evidence: [],
    }),
    { isSymptom: true, cause: error },
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
): Verdict => ({
  ...parts,
  stage,
  at: new Date().toISOString(),
  consequences: [],
  ruledOut: [],
  anchor: null,
});
