/** Words of a session's life, shared by store, API, CLI and pages. The transition table is in session/session.ts. */
import { z } from "zod";
import { diagnosis, finding } from "./diagnosis.ts";

export const sessionState = z.enum([
  "requested",
  "starting",
  "ready",
  "active",
  "completing",
  "failed",
  "destroyed",
  "lost",
]);
export type SessionState = z.infer<typeof sessionState>;

/** Readiness steps in the order they are passed, of a microVM that boots, and of one that is a clone of a warm snapshot. */
export const BOOT_STAGES = [
  "leased",
  "vmm-up",
  "kernel",
  "agent",
  "addressed",
  "reachable",
  "display",
  "browser",
] as const;
export const RESTORE_STAGES = ["leased", "restored", "identity", "joined", "reachable", "screen"] as const;
export const startStage = z.enum([...new Set([...BOOT_STAGES, ...RESTORE_STAGES])]);
export type StartStage = z.infer<typeof startStage>;

export const stageRecord = z.object({
  stage: startStage,
  /** ISO 8601; start is when the stage before was passed. */
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  /** What said so: `ledger`, `console`, `channel`, `network`, `pool`, or the VMM backend by its name. */
  source: z.string(),
  /** For people: what was restored, or why it was booted. */
  note: z.string().optional(),
});
export type StageRecord = z.infer<typeof stageRecord>;

type Passed = Pick<StageRecord, "stage" | "endedAt">;

/** How a microVM starts, by its first stages: that of a clone says so before its VMM is started. */
export const planOf = (stages: Pick<StageRecord, "stage">[]): "boot" | "restore" =>
  stages.some(({ stage }) => stage === "restored") ? "restore" : "boot";

/** All that it passes, in order. */
export const stagesOf = (stages: Pick<StageRecord, "stage">[]): readonly StartStage[] =>
  planOf(stages) === "boot" ? BOOT_STAGES : RESTORE_STAGES;

export const isPassed = (stages: Passed[], stage: StartStage): boolean =>
  stages.some((record) => record.stage === stage && record.endedAt !== null);

/** The first stage not passed yet; null once the browser was there. */
export const awaitedStage = (stages: Passed[]): StartStage | null =>
  stagesOf(stages).find((stage) => !isPassed(stages, stage)) ?? null;

export const progressOf = (stages: Passed[]): { passed: number; of: number } => {
  const all = stagesOf(stages);
  return { passed: all.filter((stage) => isPassed(stages, stage)).length, of: all.length };
};

/** Why a session failed, in plain words. */
export const verdict = finding.omit({ anchor: true }).extend({
  /** The stage that was being waited for, if it failed while starting. */
  stage: startStage.nullable(),
  at: z.string(),
  /** What else was found; most follows from the cause. */
  consequences: diagnosis.shape.consequences.default([]),
  /** What was looked at and found in order, in words. */
  ruledOut: z.array(z.string()).default([]),
  /** Place in docs/verdicts.md; null for a verdict that no rule gave. */
  anchor: z.string().nullable().default(null),
});
export type Verdict = z.infer<typeof verdict>;

/** What is in a guest's way now: named while its deadline still runs, and gone when it is gone. Never kept. */
export const warning = verdict.pick({ code: true, sentence: true, hint: true, evidence: true, at: true, anchor: true });
export type Warning = z.infer<typeof warning>;

/** Wrong pairing codes after which a session's screen is locked for good. */
export const PAIRING_TRIES = 5;

/**
 * Kind of a thing that a microVM owns on its host, of which there may be several: `lease`, `directory`, what its network has of it
 * (src/network/network.ts), `user` (its number, for as long as a process of it is there), `process`, `cgroup`, and what else its VMM
 * backend makes.
 */
export const resourceKind = z.string().regex(/^[a-z][a-z-]{0,31}$/);

export const goneResource = z.object({
  kind: resourceKind,
  /** Name of the resource: an address, an interface, a process id, a folder's name. */
  ref: z.string(),
  acquiredAt: z.string(),
  /** When it was looked for and not found. */
  seenGoneAt: z.string(),
});

export type GoneResource = z.infer<typeof goneResource>;

/** What the paired viewer may know of the session while it lives, for the strip beside the screen. */
export const viewing = z.object({
  paired: z.literal(true),
  /** The provider's title, for people. */
  provider: z.string(),
  userId: z.string(),
  state: sessionState,
  expiresAt: z.string(),
  /** Stage of the start that is awaited; null when the browser is there. */
  stage: startStage.nullable(),
  /** Stages passed, and how many there are to pass. */
  progress: z.object({ passed: z.int(), of: z.int() }),
  /** What is in the guest's way now, in a sentence; null when nothing is. */
  warning: z.string().nullable(),
  /** Host of the page that was opened; null before. */
  openedHost: z.string().nullable(),
});
export type Viewing = z.infer<typeof viewing>;

export const receiptBody = z.object({
  version: z.literal(1),
  /** `hst_…` of the machine that ran it; receipts that are older than these ids have none. */
  hostId: z.string().optional(),
  sessionId: z.string(),
  provider: z.string(),
  userId: z.string(),
  vmId: z.string().nullable(),
  imageDigest: z.string().nullable(),
  startedAt: z.string(),
  destroyedAt: z.string(),
  /** `signed-in`, `destroyed-by-request`, `expired`, `failed`. */
  outcome: z.string(),
  gone: z.array(goneResource),
});
export type ReceiptBody = z.infer<typeof receiptBody>;

/** Ed25519 over the canonical JSON (RFC 8785) of `body`. */
export const receipt = z.object({
  body: receiptBody,
  /** SPKI, PEM. */
  publicKey: z.string(),
  /** base64. */
  signature: z.string(),
});
export type Receipt = z.infer<typeof receipt>;
