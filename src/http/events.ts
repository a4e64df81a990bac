import type { FastifyReply } from "fastify";
import type { SessionView } from "../contract/api.ts";
import type { Session } from "../session/session.ts";
import type { SessionService } from "../session/service.ts";

/** Keeps proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000;

/**
 * Server-sent events: the whole view now and after each change, until the session has its receipt. Each event carries all
 * there is to know, so a slow reader may miss some; one that does not read is dropped.
 */
export const streamSession = async (
  reply: FastifyReply,
  options: { sessions: SessionService; session: Session; view: (session: Session) => Promise<SessionView> },
): Promise<void> => {
  const { sessions, session, view } = options;
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });

  await new Promise<void>((resolve) => {
    const send = async (current: Session): Promise<void> => {
      const text = `data: ${JSON.stringify(await view(current))}\n\n`;
      if (!raw.write(text) && raw.writableLength > 1024 * 1024) raw.destroy();
      if (current.receipt) raw.end();
    };
    const unsubscribe = sessions.subscribe(session.id, (current) => void send(current).catch(() => raw.destroy()));
    const heartbeat = setInterval(() => raw.write(": still here\n\n"), HEARTBEAT_MS);
    raw.on("close", () => {
      unsubscribe();
      clearInterval(heartbeat);
      resolve();
    });
    // Subscribed first, read second: no change falls between.
    sessions
      .get(session.id)
      .then(send)
      .catch(() => raw.destroy());
  });
};
