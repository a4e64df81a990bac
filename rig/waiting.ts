/** The warm snapshot that a run's sessions start from, and how long the person waited with it, or would have waited without. */
import type { Client } from "../src/client/client.ts";
import { makeWarmSnapshot, type WarmSnapshot } from "../src/client/warm-snapshot.ts";
import type { SessionView } from "../src/contract/api.ts";
import { planOf } from "../src/contract/session.ts";

/** The one that is there, or another: made now. Throws AppError `no-snapshot`. */
export const ensureWarm = async (
  client: Pick<Client, "warm" | "makeWarm">,
  say: (what: string) => void,
  signal: AbortSignal,
): Promise<WarmSnapshot> => {
  const { snapshot } = await client.warm();
  if (snapshot) {
    say(`warm snapshot: there is one, made ${snapshot.madeAt}`);
    return snapshot;
  }
  say(
    "warm snapshot: there is none yet; a machine boots and is frozen, once, which takes a little longer than a cold start",
  );
  return makeWarmSnapshot(client, { onDoing: (what) => say(`warm snapshot: ${what}`), signal });
};

/** How long somebody waited for a browser. */
export interface Waiting {
  /** Milliseconds from the request to the browser on the screen. */
  readyMs: number;
  /** What a boot takes on this machine: this session's own, or that of the snapshot's machine. Null: never seen. */
  coldMs: number | null;
  /** Whether the session went on from a warm snapshot. */
  isWarm: boolean;
  /** For people: which snapshot, or why the session booted. */
  note: string;
}

/** Of a session that was ready. */
export const waitingOf = ({ createdAt, stages }: SessionView, snapshot: WarmSnapshot | undefined): Waiting => {
  const readyMs = Date.parse(stages.at(-1)?.endedAt ?? "") - Date.parse(createdAt);
  const isWarm = planOf(stages) === "restore";
  const bootedAt = stages.find(({ stage }) => stage === "vmm-up")?.startedAt;
  const bootMs = bootedAt === undefined ? null : readyMs - (Date.parse(bootedAt) - Date.parse(createdAt));
  const note = stages.find((stage) => stage.note !== undefined)?.note ?? "";
  return { readyMs, coldMs: isWarm ? (snapshot?.coldMs ?? null) : bootMs, isWarm, note };
};

export const inWords = ({ readyMs, coldMs, isWarm, note }: Waiting): string => {
  const waited = `You waited ${seconds(readyMs)} for the browser`;
  if (!isWarm) return `${waited}: its machine booted (${note}).`;
  return coldMs === null
    ? `${waited}: it was warm.`
    : `${waited}. Cold, without the warm snapshot, it would have been ${seconds(coldMs)}.`;
};

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
