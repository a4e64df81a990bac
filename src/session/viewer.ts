/**
 * Who may sit at a session's screen: the person who can read the requester's terminal, one at a time.
 * pairing code (five tries) → cookie → one-time ticket of 30 s → the one WebSocket. Kept in memory: after a restart of
 * the controller the code is asked again.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { PAIRING_TRIES } from "../contract/session.ts";
import { AppError } from "../lib/errors.ts";
import { newSecret } from "../lib/id.ts";
import { createKeyedMutex } from "../lib/mutex.ts";
import type { SessionStore } from "./store.ts";

export const TICKET_TTL_SEC = 30;
const MAX_TICKETS = 8;

/** A connection to a screen, as far as the seat is concerned. */
interface Screen {
  readonly destroyed: boolean;
  destroy(reason: Error): unknown;
}

interface Seat {
  cookieHash: string;
  /** Ticket hash → expiry, ms on the monotonic clock. */
  tickets: Map<string, number>;
  /** The connection that holds the screen, or held it last. */
  screen: Screen | undefined;
}

export type ViewerSeats = ReturnType<typeof createViewerSeats>;

/** As it is meant: the alphabet has no O, I or L, so who types one saw a 0 or a 1. */
const normalised = (code: string): string =>
  code
    .toUpperCase()
    .replaceAll("O", "0")
    .replaceAll(/[IL]/g, "1")
    .replaceAll(/[^0-9A-Z]/g, "");

/** Codes are short, so the stored form is bound to the session; the five tries are what protects them. */
export const hashPairingCode = (sessionId: string, code: string): string => hash(`${sessionId}\n${normalised(code)}`);

/**
 * `isScreenOpen`: the session has a screen, or will have one; from `completing` on it has none. `onWrongCode` is told of each wrong code that
 * was counted: five at most.
 */
export const createViewerSeats = (
  store: SessionStore,
  isScreenOpen: (sessionId: string) => boolean,
  onWrongCode: (sessionId: string) => void = () => {},
) => {
  const seats = new Map<string, Seat>();
  /** However many come at once, each sees what the one before it was. */
  const oneTry = createKeyedMutex();

  const hasViewer = (sessionId: string): boolean => seats.get(sessionId)?.screen?.destroyed === false;
  // Who was replaced types no more, however long the goodbye to their page takes.
  const disconnect = (sessionId: string): void => void seats.get(sessionId)?.screen?.destroy(taken());

  const requireScreen = (sessionId: string): void => {
    if (isScreenOpen(sessionId)) return;
    throw new AppError("gone", "session-ending", "The session is ending; its browser is being destroyed.", {
      hint: "Start a new sign-in in the terminal.",
    });
  };

  const paired = (sessionId: string, cookie: string | undefined): Seat => {
    const seat = seats.get(sessionId);
    if (!seat || cookie === undefined || !equal(seat.cookieHash, hash(cookie))) {
      throw new AppError("unauthenticated", "not-paired", "This browser has not been paired with the session.", {
        hint: "Type the pairing code that the terminal shows.",
      });
    }
    return seat;
  };

  return {
    /** Returns the cookie's value; writes nothing for a right code. Throws `wrong-pairing-code` 403, `pairing-locked` 429, `viewer-present` 409. */
    pair: async (sessionId: string, code: string): Promise<string> => {
      await oneTry(sessionId, async () => {
        const stored = await store.pairing(sessionId);
        const { pairingHash, pairingFailures } = stored ?? { pairingHash: "", pairingFailures: PAIRING_TRIES };
        if (pairingFailures >= PAIRING_TRIES) throw locked();
        if (equal(pairingHash, hashPairingCode(sessionId, code))) return;
        await store.countPairingFailure(sessionId);
        onWrongCode(sessionId);
        const left = PAIRING_TRIES - pairingFailures - 1;
        if (left <= 0) throw locked();
        const tries = left === 1 ? "One try is" : `${left} tries are`;
        throw new AppError("forbidden", "wrong-pairing-code", `That is not the pairing code. ${tries} left.`, {
          hint: "The code is in the terminal where the sign-in was started.",
        });
      });
      if (hasViewer(sessionId)) {
        throw new AppError("conflict", "viewer-present", "Somebody is at this screen already; one viewer is allowed.", {
          hint: "Close the other page. If it is not yours, destroy the session in the terminal with Ctrl-C.",
        });
      }
      const cookie = newSecret();
      seats.set(sessionId, { cookieHash: hash(cookie), tickets: new Map(), screen: undefined });
      return cookie;
    },

    /** Throws `not-paired` 401. */
    requirePaired: (sessionId: string, cookie: string | undefined): void => void paired(sessionId, cookie),

    /** A right to open the WebSocket once, within 30 s. Throws `not-paired` 401, `session-ending` 410. */
    newTicket: (sessionId: string, cookie: string | undefined): string => {
      const seat = paired(sessionId, cookie);
      requireScreen(sessionId);
      const now = performance.now();
      for (const [key, expiry] of seat.tickets) if (expiry < now) seat.tickets.delete(key);
      if (seat.tickets.size >= MAX_TICKETS) {
        throw new AppError("too-many", "too-many-tickets", "Too many connections were announced and not made.", {
          retryAfterSec: TICKET_TTL_SEC,
        });
      }
      const ticket = newSecret();
      seat.tickets.set(hash(ticket), now + TICKET_TTL_SEC * 1000);
      return ticket;
    },

    /**
     * Uses a ticket up and opens the screen; an older connection of the same browser (a reload, a lost network) is closed. The seat is
     * free when what `open` gave is destroyed. Throws `bad-ticket` 401, `session-ending` 410.
     */
    sitDown: <T extends Screen>(sessionId: string, ticket: string, open: () => T): T => {
      const seat = seats.get(sessionId);
      const key = hash(ticket);
      const expiry = seat?.tickets.get(key);
      seat?.tickets.delete(key);
      if (!seat || expiry === undefined || expiry < performance.now()) {
        throw new AppError("unauthenticated", "bad-ticket", "The ticket is unknown, used or older than 30 s.");
      }
      requireScreen(sessionId);
      const screen = open();
      seat.screen?.destroy(taken());
      seat.screen = screen;
      return screen;
    },

    hasViewer,

    /** The screen goes: the connection is closed; who is paired is still told what becomes of the session. */
    disconnect,

    /** The session is over: the connection is closed and nothing of the pairing is kept. */
    clear: (sessionId: string): void => {
      disconnect(sessionId);
      seats.delete(sessionId);
    },
  };
};

const taken = (): AppError => new AppError("gone", "screen-taken", "Another page took over, or the session is over.");

const locked = (): AppError => {
  const sentence = `The pairing code was wrong ${PAIRING_TRIES} times; the session is locked.`;
  const hint = "End it in the terminal (Ctrl-C) and start a new sign-in.";
  return new AppError("too-many", "pairing-locked", sentence, { hint });
};

const hash = (text: string): string => createHash("sha256").update(text).digest("base64url");

const equal = (a: string, b: string): boolean =>
  a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
