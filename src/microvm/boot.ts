/** From a started VMM to a browser that is proven, however it was started: each stage is asked until it passes, misses its deadline, or the VMM dies. */
import { setTimeout as sleep } from "node:timers/promises";
import { isPassed, type StageRecord, type StartStage } from "../contract/session.ts";
import { createConsoleReader, type ConsoleReader } from "../diagnosis/console-reader.ts";
import { messageOf } from "../lib/errors.ts";
import { msUntil } from "../lib/wait.ts";
import { boundConsole } from "../vmm/console.ts";
import { failWhenExited, failWhenFlooding, MicrovmFailure, onConsole } from "./failure.ts";
import { deadlineMsOf, STAGE_RULES, type StageRule, type Steps } from "./stages.ts";
import type { WatchOptions } from "./watch.ts";

const INTERVAL_MS = 500;
/** For one question of a stage; the last one ends with the stage's deadline. */
const CHECK_MS = 3000;

export interface BootOptions extends WatchOptions {
  plan: keyof typeof STAGE_RULES;
  /** Stages already passed, e.g. before the controller was restarted. */
  passed: StageRecord[];
  steps: Steps;
  onStage: (records: StageRecord[]) => Promise<void>;
}

/** Throws MicrovmFailure, or the signal's reason. */
export const awaitBrowser = async (options: BootOptions): Promise<void> => {
  let records = options.passed;
  const console = createConsoleReader(options.consoleFile);
  for (const rule of STAGE_RULES[options.plan]) {
    if (isPassed(records, rule.stage)) continue;
    const startedAt = new Date().toISOString();
    await passStage(rule, console, options);
    options.lookout.fine();
    await rule.finish?.(options.steps, deadlineMsOf(rule, options));
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
    await onConsole(boundConsole(options.consoleFile), rule.stage);
    if (performance.now() >= deadline) throw missedDeadline(rule, options, seen);
    if (performance.now() - begin >= rule.slowMs) options.lookout.slow(deadline);
    await sleep(rule.intervalMs ?? INTERVAL_MS, undefined, { signal: options.signal });
  }
};

/** A guest that says itself that nothing more will come is not waited for. Throws MicrovmFailure `guest-stopped`. */
const failWhenStopped = async (console: ConsoleReader, stage: StartStage): Promise<void> => {
  const { panic, isEmergencyShell } = await onConsole(console.look(), stage);
  if (panic === null && !isEmergencyShell) return;
  throw new MicrovmFailure(stage, {
    code: "guest-stopped",
    sentence: "The guest stopped in the middle of its start.",
    hint: "Read the end of its console.",
  });
};

const missedDeadline = (rule: StageRule, options: BootOptions, seen: string): MicrovmFailure =>
  new MicrovmFailure(rule.stage, {
    ...rule.missed,
    evidence: [`waited ${deadlineMsOf(rule, options) / 1000} s; last seen: ${seen}`],
  });
