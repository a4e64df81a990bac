/**
 * A session's states and which may follow which. Pure: the driver owns every change, the store refuses any other.
 *
 *     requested ──> starting ──> ready ──> active ──> completing ──> destroyed
 *         │             │          │         │             │
 *         └─────────────┴──────────┴────┬────┴─────────────┘
 *                                       ├──> failed   (verdict kept; its microVM is destroyed all the same, see receipt)
 *                                       ├──> completing ──> destroyed   (asked for, or expired)
 *                                       └──> lost     (its host is gone: said by somebody else)
 *
 * ready: the browser is proven, nobody watches yet. active: the paired viewer is connected.
 * There is no state in which a guest is frozen, recorded or copied after it started.
 */
import type { Selectable } from "kysely";
import type { StartRequest } from "../contract/api.ts";
import type { Receipt, SessionState, StageRecord, Verdict } from "../contract/session.ts";
import { newSessionId } from "../lib/id.ts";
import type { Database } from "../state/schema.ts";

/** As its row, without what guards the screen, and with the shapes that the row has as text. */
export interface Session extends Omit<
  Selectable<Database["sessions"]>,
  "pairingHash" | "pairingFailures" | "stages" | "verdict" | "outcome" | "receipt"
> {
  stages: StageRecord[];
  verdict: Verdict | null;
  outcome: Outcome | null;
  receipt: Receipt | null;
}

/** How a session ended. */
export const OUTCOMES = ["signed-in", "destroyed-by-request", "expired", "failed"] as const;
export type Outcome = (typeof OUTCOMES)[number];

const TRANSITIONS: Record<SessionState, readonly SessionState[]> = {
  requested: ["starting", "completing", "failed", "lost"],
  starting: ["ready", "completing", "failed", "lost"],
  ready: ["active", "completing", "failed", "lost"],
  active: ["completing", "failed", "lost"],
  completing: ["destroyed", "failed", "lost"],
  failed: [],
  destroyed: [],
  lost: [],
};

export const canTransition = (from: SessionState, to: SessionState): boolean => TRANSITIONS[from].includes(to);

/** Nothing more will happen to it. */
export const isOver = (state: SessionState): boolean => TRANSITIONS[state].length === 0;

/** `ending`: how it ended, where that is not written down yet. */
export const asItEnds = (session: Session, ending: Partial<Session> | undefined): Session =>
  session.receipt ? session : { ...session, ...ending };

/** Its microVM is there, or comes; from `completing` on it is being taken apart, and nobody is at its screen. */
export const isWhole = (state: SessionState): boolean => !isOver(state) && state !== "completing";

/** As it is asked for; nothing of it is on this host yet. */
export const newSession = (
  { provider, recipientKey }: StartRequest,
  { userId, startedBy, ttlSec }: { userId: string; startedBy: string; ttlSec: number },
): Session => ({
  id: newSessionId(),
  userId,
  startedBy,
  provider,
  state: "requested",
  generation: 0,
  createdAt: new Date().toISOString(),
  expiresAt: new Date(Date.now() + ttlSec * 1000).toISOString(),
  recipientKey: recipientKey ?? null,
  stages: [],
  verdict: null,
  sealedTakenAt: null,
  answeredAt: null,
  openedAt: null,
  openedHost: null,
  outcome: null,
  receipt: null,
});
