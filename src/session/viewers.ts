/** A viewer's road on this host: the seat of viewer.ts, the strip's words, and the guest's RFB port behind a ticket. */
import { connect } from "node:net";
import { awaitedStage, progressOf, type Warning } from "../contract/session.ts";
import { GUEST_PORTS } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { isOver, type Session } from "./session.ts";
import type { Viewers } from "./sessions.ts";
import { TICKET_TTL_SEC, type ViewerSeats } from "./viewer.ts";

interface ViewersDeps {
  seats: ViewerSeats;
  get: (id: string) => Promise<Session>;
  microvmOf: (sessionId: string) => Promise<{ address: string } | undefined>;
  /** The provider's name for people. */
  titleOf: (provider: string) => string;
  warningOf: (id: string) => Warning | null;
  /** Told when the screen is there for somebody. */
  onConnected: (id: string) => Promise<void>;
}

export const createViewers = (deps: ViewersDeps): Viewers => {
  const { seats } = deps;

  const live = async (id: string): Promise<Session> => {
    const session = await deps.get(id);
    if (isOver(session.state)) throw over(session);
    return session;
  };

  return {
    pair: async (id, code) => {
      await live(id);
      return seats.pair(id, code);
    },

    requirePaired: async (id, cookie) => seats.requirePaired(id, cookie),

    ticket: async (id, cookie) => ({ ticket: seats.newTicket(id, cookie), expiresInSec: TICKET_TTL_SEC }),

    viewing: async (id, cookie) => {
      const session = await live(id);
      seats.requirePaired(id, cookie);
      return {
        paired: true,
        provider: deps.titleOf(session.provider),
        userId: session.userId,
        state: session.state,
        expiresAt: session.expiresAt,
        stage: awaitedStage(session.stages),
        progress: progressOf(session.stages),
        warning: deps.warningOf(id)?.sentence ?? null,
        openedHost: session.openedHost,
      };
    },

    screen: async (id, ticket) => {
      const vm = await deps.microvmOf(id);
      if (!vm) throw new AppError("unauthenticated", "bad-ticket", "There is no screen that this ticket opens.");
      const { address } = vm;
      const screen = seats.sitDown(id, ticket, () => connect({ host: address, port: GUEST_PORTS.rfb, noDelay: true }));
      // Told to whoever reads it; one that nobody reads any more has nobody to tell.
      screen.on("error", () => {});
      screen.once("connect", () => void deps.onConnected(id).catch((error: Error) => screen.destroy(error)));
      return screen;
    },
  };
};

const over = ({ state, verdict }: Session): AppError =>
  verdict
    ? new AppError("gone", "session-failed", verdict.sentence, { hint: verdict.hint })
    : new AppError("gone", "session-over", `The session is over (${state}); its browser has been destroyed.`, {
        hint: "Start a new sign-in in the terminal.",
      });
