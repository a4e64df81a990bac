import { isDeepStrictEqual } from "node:util";
import type { GuestSession } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { keyThumbprint } from "../handover/sealing.ts";

export type SessionHolder = ReturnType<typeof createSessionHolder>;

/**
 * The one session this machine serves. It can't be exchanged: what the person compared on the waiting page (whose sign-in,
 * which key) must still hold when something is sealed, whoever talks on the channel by then.
 */
export const createSessionHolder = () => {
  let current: GuestSession | undefined;
  const listeners: (() => void)[] = [];
  return {
    get current() {
      return current;
    },
    /** Throws AppError `key-mismatch` or `session-fixed`. Giving the same session again changes nothing. */
    set: (session: GuestSession): void => {
      if (isDeepStrictEqual(session, current)) return;
      if (current) throw new AppError("conflict", "session-fixed", "This guest already serves another session.");
      if (session.recipientKey && keyThumbprint(session.recipientKey) !== session.sealing.keyThumbprint) {
        throw new AppError("invalid", "key-mismatch", "The recipient key is not the one that the session is bound to.");
      }
      current = session;
      listeners.forEach((listener) => listener());
    },
    onSet: (listener: () => void) => void listeners.push(listener),
  };
};
