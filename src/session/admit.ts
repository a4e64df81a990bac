/** Letting a session in: its user's limit, its record, its address and its microVM's record, all or nothing. */
import type { Config } from "../config/config.ts";
import { AppError } from "../lib/errors.ts";
import type { Db } from "../state/db.ts";
import { isOver, type Session } from "./session.ts";
import { allotMicrovm, type AllotOptions } from "../microvm/allot.ts";
import { createMicrovmStore, type Microvm } from "../microvm/store.ts";
import { createSessionStore, type Census } from "./store.ts";

export interface AdmitOptions extends Pick<AllotOptions, "image" | "chosen" | "config"> {
  session: Session;
  pairingHash: string;
  /** One that waited for a session; without it another one is allotted. */
  waiting?: Microvm | undefined;
}

/**
 * One transaction: after a crash at any line there is either everything or nothing, and two requests at once cannot both
 * pass a limit that has room for one. Throws AppError `too-many-sessions` (429), `host-full`, `pool-exhausted` (503).
 */
export const admit = (db: Db, options: AdmitOptions): Promise<Microvm> =>
  db.transaction().execute(async (transaction) => {
    const { session, config } = options;
    const store = createSessionStore(transaction);
    requireRoom(await store.census(), session.userId, config);
    await store.insert(session, options.pairingHash);
    if (options.waiting) {
      await createMicrovmStore(transaction).giveTo(options.waiting.id, session.id);
      return { ...options.waiting, sessionId: session.id };
    }
    return allotMicrovm(transaction, { ...options, sessionId: session.id, createdAt: session.createdAt });
  });

const requireRoom = (census: Census, userId: string, { session: { maxPerUser, max } }: Config): void => {
  const theirs = census.filter((line) => line.userId === userId && !isOver(line.state));
  const live = sum(theirs);
  if (live >= maxPerUser) {
    throw new AppError("too-many", "too-many-sessions", `${userId} has ${live} sign-ins running; that is the limit.`, {
      hint: "End one (sallyport ls, sallyport destroy <id>) or wait until it expires.",
      retryAfterSec: 60,
    });
  }
  // Those that ended count until their microVM is gone.
  if (sum(census) < max) return;
  throw new AppError("unavailable", "host-full", `This host runs ${max} sign-ins, as many as it may.`, {
    hint: "Try again when one has ended. The operator sets the limit: session.max; sallyport doctor says how many fit.",
    retryAfterSec: 30,
  });
};

const sum = (census: Census): number => census.reduce((total, { count }) => total + count, 0);
