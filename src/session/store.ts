/** Sessions on disk. Every change is one statement guarded by state and generation. */
import type { SelectQueryBuilder } from "kysely";
import type { SessionState } from "../contract/session.ts";
import { AppError } from "../lib/errors.ts";
import type { Db } from "../state/db.ts";
import type { Database } from "../state/schema.ts";
import { sessionReader, toRow } from "./row.ts";
import { canTransition, type Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";

/** What a change may set; the state's own change is checked against the transition table. */
export type SessionChange = Partial<
  Pick<
    Session,
    "state" | "stages" | "verdict" | "sealedTakenAt" | "answeredAt" | "openedAt" | "openedHost" | "outcome" | "receipt"
  >
>;

/** How many sessions of which user are in which state. */
export type Census = { userId: string; state: SessionState; count: number }[];

export type SessionStore = ReturnType<typeof createSessionStore>;

export const createSessionStore = (db: Db, read = sessionReader(() => {})) => ({
  insert: async (session: Session, pairingHash: string): Promise<void> => {
    await db
      .insertInto("sessions")
      .values({ ...toRow(session), pairingHash })
      .execute();
  },

  get: async (id: string): Promise<Session | undefined> => {
    const row = await db.selectFrom("sessions").selectAll().where("id", "=", id).executeTakeFirst();
    return row && read(row);
  },

  /**
   * Newest first, `limit` at most, each with what is told of it beside its own record; all that there are, or those of this user and
   * those that this key started for others.
   */
  list: async ({ seenBy, limit }: Parameters<Sessions["list"]>[0]) => {
    const newest = <Row>(query: SelectQueryBuilder<Database, "sessions", Row>) =>
      query.orderBy("createdAt", "desc").orderBy("id", "desc").limit(limit);
    const all = db.selectFrom("sessions").select(["createdAt", "id"]);
    const seen = seenBy && all.where("userId", "=", seenBy.userId).union(all.where("startedBy", "=", seenBy.keyId));
    const rows = await db
      .selectFrom(newest(seen ?? all).as("seen"))
      .innerJoin("sessions", "sessions.id", "seen.id")
      .leftJoin("vms", "vms.sessionId", "sessions.id")
      .selectAll("sessions")
      .select(["vms.id as vmId", "vms.address", "vms.backend", "vms.accel", "vms.why"])
      .orderBy("seen.createdAt", "desc")
      .orderBy("seen.id", "desc")
      .execute();
    return rows.map(({ vmId: id, address, backend, accel, why, ...row }) => ({
      session: read(row),
      vm: id === null || address === null || backend === null ? undefined : { id, address, backend, accel, why },
      wrongPairingCodes: row.pairingFailures,
    }));
  },

  /** Ids of those that a controller must look after: alive, or ended without a receipt. */
  unfinished: async (): Promise<string[]> => (await unfinished(db).select("id").execute()).map(({ id }) => id),

  /** Of the same sessions. */
  census: (): Promise<Census> =>
    unfinished(db)
      .select(["userId", "state", (eb) => eb.fn.countAll<number>().as("count")])
      .groupBy(["userId", "state"])
      .execute(),

  /**
   * Applies one change and returns the session as it is then. Throws AppError `stale-session` when somebody else was
   * first, `illegal-transition` for a step the table does not have (both are bugs, not user errors).
   */
  change: async (session: Session, change: SessionChange): Promise<Session> => {
    const { state } = change;
    if (state !== undefined && state !== session.state && !canTransition(session.state, state)) {
      throw new AppError("internal", "illegal-transition", `A session cannot go from ${session.state} to ${state}.`, {
        context: { sessionId: session.id },
      });
    }
    const next: Session = { ...session, ...change, generation: session.generation + 1 };
    const { numUpdatedRows } = await db
      .updateTable("sessions")
      .set(toRow(next))
      .where("id", "=", session.id)
      .where("generation", "=", session.generation)
      .executeTakeFirst();
    if (numUpdatedRows !== 1n) {
      throw new AppError("internal", "stale-session", "The session was changed by somebody else meanwhile.", {
        context: { sessionId: session.id, generation: session.generation },
      });
    }
    return next;
  },

  /** How many wrong pairing codes were typed; 0 for a session that does not exist. */
  pairingFailures: async (id: string): Promise<number> => {
    const row = await db.selectFrom("sessions").select("pairingFailures").where("id", "=", id).executeTakeFirst();
    return row?.pairingFailures ?? 0;
  },

  pairing: (id: string): Promise<{ pairingHash: string; pairingFailures: number } | undefined> =>
    db.selectFrom("sessions").select(["pairingHash", "pairingFailures"]).where("id", "=", id).executeTakeFirst(),

  countPairingFailure: async (id: string): Promise<void> => {
    const update = db.updateTable("sessions").set((eb) => ({ pairingFailures: eb("pairingFailures", "+", 1) }));
    await update.where("id", "=", id).execute();
  },
});

/** A receipt ends every session but those whose host is gone. */
const unfinished = (db: Db) => db.selectFrom("sessions").where("receipt", "is", null).where("state", "!=", "lost");
