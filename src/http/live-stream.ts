/** Answers that go on for as long as something lives: a session's events, a guest's console. */
import { Readable } from "node:stream";
import type { FastifyReply } from "fastify";
import { AppError } from "../lib/errors.ts";
import type { Limits } from "./limits.ts";

export interface LiveStream {
  /** Streams are counted by it. */
  sessionId: string;
  contentType: string;
  /** Sent when there has been nothing to say for a while, so that nobody takes the connection for dead. */
  heartbeat: string;
  /** The text, made at its reader's speed; an empty piece is a sign of life. The signal ends with the connection, whoever ended it. */
  pieces: (signal: AbortSignal) => AsyncIterable<string>;
  /** Asked at each heartbeat; the stream is broken off on a no. */
  isAllowed: () => Promise<boolean>;
}

/**
 * The function it returns sends one such answer. It throws `too-many-streams` (429), and what `pieces` throws, while there can still be
 * an ordinary answer.
 */
export const createLiveStreams = (limits: Limits) => {
  const open = new Map<string, number>();

  return (reply: FastifyReply, stream: LiveStream): FastifyReply => {
    const { sessionId } = stream;
    const count = open.get(sessionId) ?? 0;
    if (count >= limits.streamsPerSession) {
      throw new AppError("too-many", "too-many-streams", `${count} streams of this session are open.`, {
        hint: "Close one; each sends the same.",
        retryAfterSec: 10,
      });
    }
    const body = liveBody(stream, limits);
    open.set(sessionId, count + 1);
    body.once("close", () => {
      const left = (open.get(sessionId) ?? 1) - 1;
      if (left > 0) open.set(sessionId, left);
      else open.delete(sessionId);
    });
    return reply
      .headers({ "cache-control": "no-store", "x-accel-buffering": "no", "x-content-type-options": "nosniff" })
      .type(stream.contentType)
      .send(body);
  };
};

/** Asks for a piece when the last one is being sent: what waits unread is `unreadStreamBytes` and one piece at most. */
const liveBody = ({ pieces, heartbeat, isAllowed }: LiveStream, limits: Limits): Readable => {
  const ended = new AbortController();
  const source = pieces(ended.signal)[Symbol.asyncIterator]();
  let isAsking = false;

  const ask = async (): Promise<void> => {
    if (isAsking) return;
    isAsking = true;
    const next = await source.next();
    isAsking = false;
    if (next.done === true) clearInterval(pulse);
    if (!body.destroyed) body.push(next.done === true ? null : next.value || heartbeat);
  };

  const breakOff = (error: unknown): void => void body.destroy(error as Error);
  const body = new Readable({
    highWaterMark: limits.unreadStreamBytes,
    read: () => void ask().catch(breakOff),
    destroy: (error, done) => {
      clearInterval(pulse);
      ended.abort();
      // One that waits at a `yield` hears no signal; what it holds open is closed by this.
      source.return?.().catch(() => {});
      done(error);
    },
  });

  const beat = async (): Promise<void> => {
    if (!(await isAllowed())) throw new AppError("unauthenticated", "key-revoked", "The stream's key was revoked.");
    // Where something waits unread, one more word would only wait with it.
    if (isAsking && body.readableLength === 0) body.push(heartbeat);
  };
  const pulse = setInterval(() => void beat().catch(breakOff), limits.heartbeatMs);
  return body;
};
