import { once } from "node:events";
import type { FastifyReply } from "fastify";
import type { SessionView } from "../contract/api.ts";
import type { Session } from "../session/session.ts";
import type { SessionService } from "../session/service.ts";

/** Keeps proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000;
/** A reader this far behind is dropped. */
const MAX_UNREAD_BYTES = 1024 * 1024;

/**
 * Server-sent events: the whole view now and after each change, until the session has its receipt. Each event carries all
 * there is to know, so a slow reader may miss some; one that does not read is dropped.
 */
export const streamSession = async (
  reply: FastifyReply,
  options: { sessions: SessionService; session: Session; view: (session: Session) => Promise<SessionView> },
): Promise<void> => {
  const { sessions, session, view } = options;
  const { raw } = reply;
  const send = async (current: Session): Promise<void> => {
    const text = `data: ${JSON.stringify(await view(current))}\n\n`;
    if (!raw.write(text) && raw.writableLength > MAX_UNREAD_BYTES) raw.destroy();
    if (current.receipt) raw.end();
  };
  const trySend = (current: Session): void => void send(current).catch(() => raw.destroy());

  // Refused, when there are too many, while it is still an ordinary request.
  const unsubscribe = sessions.subscribe(session.id, trySend);
  reply.hijack();
  raw.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
  const heartbeat = setInterval(() => raw.write(": still here\n\n"), HEARTBEAT_MS);
  const closed = once(raw, "close");
  // Subscribed first, read second: no change falls between.
  trySend(await sessions.get(session.id));
  await closed;
  unsubscribe();
  clearInterval(heartbeat);
};
