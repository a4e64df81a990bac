/** One session's record: as it is now, and each change of it, one after the other. */
import type { Logger } from "../lib/logger.ts";
import { createMutex } from "../lib/mutex.ts";
import type { Session } from "./session.ts";
import type { SessionChange, SessionStore } from "./store.ts";

export type SessionRecord = ReturnType<typeof createRecord>;

export interface RecordOptions {
  session: Session;
  store: SessionStore;
  logger: Logger;
  /** Told after each change. */
  onChange: (now: Session, before: Session) => void;
}

export const createRecord = ({ session, store, logger, onChange }: RecordOptions) => {
  // Each change names the generation that the last one wrote.
  const exclusively = createMutex();
  let now = session;
  return {
    /** As it was written down last. */
    get session(): Session {
      return now;
    },
    /** Resolves when it is written down. Throws what the store throws; the record stays as it was then. */
    change: (change: SessionChange): Promise<void> =>
      exclusively(async () => {
        const before = now;
        now = await store.change(before, change);
        if (now.state !== before.state) {
          logger.info({ from: before.state, to: now.state, verdict: now.verdict?.code }, "session");
        }
        onChange(now, before);
      }),
  };
};
