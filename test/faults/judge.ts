/** Waits for what the product says about a guest, and takes the time from outside, as a client sees it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SessionView } from "../../src/contract/api.ts";
import { awaitedStage, type StartStage } from "../../src/contract/session.ts";
import { identify } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import type { Stand } from "./stand.ts";

export interface Judgement {
  code: string;
  /** From the failure (a missed deadline, the end of the VMM, the question) to the verdict. */
  seconds: number;
  /** What the seconds count from. */
  from: string;
  evidence: string[];
  /** What was named while the deadline still ran, and milliseconds since 1970. */
  warning?: { code: string; at: number };
  /** When the verdict came. */
  at?: number;
}

export interface Failure {
  /** Milliseconds since 1970: when the verdict is due. */
  at: number;
  /** What it is, as the object of "seconds from". */
  what: string;
}

/** Follows a session until it has failed; `known` where the caller is who made it fail. */
export const untilFailed = async (stand: Stand, sessionId: string, known?: Failure): Promise<Judgement> => {
  const over = new AbortController();
  let death: Failure | undefined;
  let last: SessionView | undefined;
  let warning: Judgement["warning"];
  try {
    for await (const view of stand.client.events(sessionId)) {
      warning ??= warningIn(view);
      if (!last?.vmId && view.vmId) void deathOf(stand, view.vmId, over.signal).then((seen) => (death = seen));
      last = view;
      if (view.state === "failed") return { ...judged(stand, view, known ?? death), ...(warning ? { warning } : {}) };
      if (view.state === "ready" && !known) break;
    }
  } finally {
    over.abort();
  }
  return { code: `(the session became ${last?.state})`, seconds: 0, from: "nothing failed", evidence: [] };
};

/** Asks for a diagnosis as soon as a stage has passed. */
export const askAfter = async (stand: Stand, sessionId: string, stage: StartStage): Promise<Judgement> => {
  let warning: Judgement["warning"];
  for await (const view of stand.client.events(sessionId)) {
    warning ??= warningIn(view);
    if (view.stages.some((record) => record.stage === stage && record.endedAt !== null)) {
      return { ...(await ask(stand, sessionId)), ...(warning ? { warning } : {}) };
    }
    if (view.state === "failed") return judged(stand, view, undefined);
  }
  throw new Error(`session ${sessionId} ended before the stage ${stage}`);
};

export const ask = async (stand: Stand, sessionId: string): Promise<Judgement> => {
  const askedAt = performance.now();
  const { diagnosis, verdict } = await stand.client.diagnosis(sessionId);
  const cause = diagnosis?.cause ?? verdict;
  if (!cause) throw new Error(`session ${sessionId} has no microVM to diagnose`);
  return {
    code: cause.code,
    seconds: (performance.now() - askedAt) / 1000,
    from: "the question",
    evidence: cause.evidence,
  };
};

/** Asks for a diagnosis when what broke in a guest that was healthy has had the time to show: a unit to be started again. */
export const askLater = async (stand: Stand, sessionId: string): Promise<Judgement> => {
  await sleep(SHOWS_MS);
  return ask(stand, sessionId);
};

const SHOWS_MS = 10_000;

const warningIn = ({ warning }: SessionView): Judgement["warning"] =>
  warning ? { code: warning.code, at: Date.now() } : undefined;

const judged = ({ deadlinesSec }: Stand, view: SessionView, known: Failure | undefined): Judgement => {
  const { sessionId, verdict } = view;
  if (!verdict) throw new Error(`session ${sessionId} failed without a verdict`);
  const failure = known ?? missedDeadline(view, deadlinesSec);
  const at = Date.now();
  const seconds = Math.max(0, (at - failure.at) / 1000);
  return { code: verdict.code, seconds, from: failure.what, evidence: verdict.evidence, at };
};

const missedDeadline = ({ stages, createdAt }: SessionView, deadlinesSec: Stand["deadlinesSec"]): Failure => {
  const awaited = awaitedStage(stages);
  const deadlineSec = deadlinesSec[awaited as keyof typeof deadlinesSec];
  if (deadlineSec === undefined) throw new Error(`there is no deadline of ${awaited}`);
  const startedAt = Date.parse(stages.at(-1)?.endedAt ?? createdAt);
  return { at: startedAt + deadlineSec * 1000, what: `the deadline of ${awaited}` };
};

/** The end of a microVM's VMM, to a twentieth of a second; undefined when it outlived the question. */
const deathOf = async (stand: Stand, vmId: string, signal: AbortSignal): Promise<Failure | undefined> => {
  const wait = { timeoutMs: 10 * 60_000, intervalMs: 50, signal };
  try {
    const pid = await poll(async () => (await stand.client.vms()).find((vm) => vm.vmId === vmId)?.pid ?? undefined, {
      ...wait,
      what: "the VMM",
    });
    await poll(async () => ((await identify(pid)) ? undefined : true), { ...wait, what: "its end" });
    return { at: Date.now(), what: "the end of the VMM" };
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
};
