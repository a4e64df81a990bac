/** A session and its row in the database. */
import type { Selectable } from "kysely";
import { z } from "zod";
import { receipt, sessionState, stageRecord, verdict } from "../contract/session.ts";
import { verdictOf } from "../microvm/failure.ts";
import type { Database } from "../state/schema.ts";
import { OUTCOMES, type Session } from "./session.ts";

export const toRow = (session: Session) => ({
  ...session,
  stages: JSON.stringify(session.stages),
  verdict: session.verdict && JSON.stringify(session.verdict),
  receipt: session.receipt && JSON.stringify(session.receipt),
});

/**
 * Reads rows. One that cannot be read must stop no other: its session is one that failed, so that its microVM is destroyed as the ledger
 * has it, and what else is in it is kept. `onUnreadable` is told once of each, with the columns that cannot be read.
 */
export const sessionReader = (onUnreadable: (id: string, columns: string) => void) => {
  const told = new Set<string>();
  // What guards the screen is no part of a session.
  return ({ pairingHash: _hash, pairingFailures: _failures, ...row }: Selectable<Database["sessions"]>): Session => {
    const whole = readable.safeParse(row);
    if (whole.success) return { ...row, ...whole.data };
    const columns = [...new Set(whole.error.issues.map(({ path }) => String(path[0])))].join(", ");
    if (!told.has(row.id)) onUnreadable(row.id, columns);
    told.add(row.id);
    return { ...row, ...unreadable(row, columns) };
  };
};

const unreadable = (row: Record<keyof typeof readable.shape, unknown>, columns: string) => {
  const { stages, createdAt, expiresAt, receipt: given } = readable.shape;
  return {
    state: "failed",
    outcome: "failed",
    stages: stages.safeParse(row.stages).data ?? [],
    createdAt: createdAt.safeParse(row.createdAt).data ?? LONG_AGO,
    expiresAt: expiresAt.safeParse(row.expiresAt).data ?? LONG_AGO,
    receipt: given.safeParse(row.receipt).data ?? null,
    verdict: verdictOf(null, {
      code: "record-unreadable",
      sentence: `What the database has of this session cannot be read (${columns}): its microVM is destroyed.`,
      hint: "Start a new sign-in. If there are more of these, look at the disk, and put back a copy of the database.",
    }),
  } satisfies Partial<Session>;
};

const LONG_AGO = new Date(0).toISOString();

const json = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    context.addIssue("is not JSON");
    return z.NEVER;
  }
});
const time = z.string().refine((text) => !Number.isNaN(Date.parse(text)));
const readable = z.object({
  state: sessionState,
  createdAt: time,
  expiresAt: time,
  stages: json.pipe(stageRecord.array()),
  verdict: json.pipe(verdict).nullable(),
  outcome: z.enum(OUTCOMES).nullable(),
  receipt: json.pipe(receipt).nullable(),
});
