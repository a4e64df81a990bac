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

/** Readiness steps in the order they are passed. */
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
export const bootStage = z.enum(BOOT_STAGES);
export type BootStage = z.infer<typeof bootStage>;

export const stageRecord = z.object({
  stage: bootStage,
  /** ISO 8601; start is when the stage before was passed. */
  startedAt: z.string(),
  endedAt: z.string().nullable(),
  /** What said so: `ledger`, `console`, `channel`, `network`, or the VMM backend by its name. */
  source: z.string(),
});
export type StageRecord = z.infer<typeof stageRecord>;

/** The first stage not passed yet; null once the browser was there. */
export const awaitedStage = (stages: Pick<StageRecord, "stage" | "endedAt">[]): BootStage | null =>
  BOOT_STAGES.find((stage) => !stages.some((record) => record.stage === stage && record.endedAt !== null)) ?? null;

/** Why a session failed, in plain words. */
export const verdict = finding.omit({ anchor: true }).extend({
  /** The stage that was being waited for, if it failed while starting. */
  stage: bootStage.nullable(),
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
  /** Boot stage that is awaited; null when the browser is there. */
  stage: bootStage.nullable(),
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
