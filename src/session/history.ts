/** How long ended sessions are remembered. Their evidence has a time and a size of its own. */
import type { Config } from "../config/config.ts";
import type { Db } from "../state/db.ts";

const DAY_MS = 86_400_000;
/** Whoever's session just ended fetches its receipt: twice as long as one may live. */
const YOUNG_MS = 7_200_000;
/** In one transaction: others wait for it. */
const BATCH = 200;

/**
 * Forgets sessions that are too old or too many, with their microVMs and what the ledger has of them; and microVMs of no session, as old.
 * Only what ended with nothing left goes, the oldest first: a session has its receipt then. Returns how many sessions were forgotten.
 * `steadyNow`: what age is counted by.
 */
export const forgetHistory = async (
  db: Db,
  { keepDays, max }: Config["history"],
  now = Date.now(),
  steadyNow = now,
): Promise<number> => {
  const young = new Date(now - YOUNG_MS).toISOString();
  const tooOld = earlier(new Date(steadyNow - keepDays * DAY_MS).toISOString(), young);
  const tooMany = await db
    .selectFrom("sessions")
    .select("createdAt")
    .where("receipt", "is not", null)
    .orderBy("createdAt", "desc")
    .offset(max)
    .limit(1)
    .executeTakeFirst();
  const until = tooMany && tooMany.createdAt > tooOld ? earlier(tooMany.createdAt, young) : tooOld;
  await forgetOwnerless(db, tooOld);
  for (let forgotten = 0; ;) {
    const count = await db.transaction().execute((transaction) => forgetSome(transaction, until));
    forgotten += count;
    if (count < BATCH) return forgotten;
  }
};

const earlier = (a: string, b: string): string => (a < b ? a : b);

const forgetSome = async (db: Db, until: string): Promise<number> => {
  const ended = await db
    .selectFrom("sessions")
    .select("id")
    .where("receipt", "is not", null)
    .where("createdAt", "<=", until)
    .orderBy("createdAt")
    .limit(BATCH)
    .execute();
  if (ended.length === 0) return 0;
  const ids = ended.map(({ id }) => id);
  const vms = await db.selectFrom("vms").select("id").where("sessionId", "in", ids).execute();
  await forgetVms(db, vms);
  await db.deleteFrom("sessions").where("id", "in", ids).execute();
  return ids.length;
};

const forgetOwnerless = async (db: Db, until: string): Promise<void> => {
  const vms = await db
    .selectFrom("vms")
    .select("id")
    .where("sessionId", "is", null)
    .where("createdAt", "<=", until)
    .where("id", "not in", db.selectFrom("ledger").select("vmId").where("seenGoneAt", "is", null))
    .limit(BATCH)
    .execute();
  await forgetVms(db, vms);
};

const forgetVms = async (db: Db, vms: { id: string }[]): Promise<void> => {
  if (vms.length === 0) return;
  const ids = vms.map(({ id }) => id);
  await db.deleteFrom("ledger").where("vmId", "in", ids).execute();
  await db.deleteFrom("leases").where("vmId", "in", ids).execute();
  await db.deleteFrom("vms").where("id", "in", ids).execute();
};
