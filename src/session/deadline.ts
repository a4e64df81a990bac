/** When a session ends by itself: when its time is up, and a minute after the requester has its result. */
import type { Session } from "./session.ts";

/** How long an answered sign-in may stay on the screen before the microVM goes by itself. */
const AFTER_TAKEN_MS = 60_000;

export type Deadline = ReturnType<typeof createDeadline>;

export const createDeadline = (ttlSec: number, end: (outcome: "expired" | "signed-in") => void) => {
  const timers: NodeJS.Timeout[] = [];
  /** The requester has the result; one that does not come back to say so is not waited for. */
  const taken = (): void => void timers.push(setTimeout(() => end("signed-in"), AFTER_TAKEN_MS));
  return {
    taken,
    /** The session lives from now on; it may have begun under a former controller. */
    begin: (session: Session): void => {
      timers.push(setTimeout(() => end("expired"), msLeft(session, ttlSec, Date.now())));
      if (session.sealedTakenAt !== null) taken();
    },
    clear: (): void => {
      for (const timer of timers.splice(0)) clearTimeout(timer);
    },
  };
};

/** Never longer than a session's whole life, whatever somebody did to the clock since it began. `now` is in ms. */
export const msLeft = ({ expiresAt }: Pick<Session, "expiresAt">, ttlSec: number, now: number): number =>
  Math.max(Math.min(Date.parse(expiresAt) - now, ttlSec * 1000), 0);
