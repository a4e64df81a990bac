import type { FastifyReply } from "fastify";

/** Keeps proxies and clients from taking a guest that has nothing to say for a connection that is dead. */
const HEARTBEAT_MS = 15_000;
/** What terminals have always taken for "wait a little": a byte that shows nothing. */
const NOTHING = "\u0000";
/** A reader who takes nothing for so long is dropped. */
const STALLED_MS = 60_000;

/**
 * Sends pieces of text as they come, at the speed of who reads them: the next piece is asked for when the last one is out. `pieces` is
 * given the signal that ends with the connection.
 */
export const streamText = async (
  reply: FastifyReply,
  pieces: (signal: AbortSignal) => AsyncIterable<string>,
): Promise<void> => {
  reply.hijack();
  const { raw } = reply;
  const ended = new AbortController();
  raw.on("close", () => ended.abort());
  raw.writeHead(200, {
    "content-type": "text/plain; charset=utf-8",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
  });
  raw.flushHeaders();
  const heartbeat = setInterval(() => {
    if (!raw.writableNeedDrain) raw.write(NOTHING);
  }, HEARTBEAT_MS);
  try {
    for await (const piece of pieces(ended.signal)) {
      if (piece !== "" && !raw.write(piece)) await drained(reply, ended.signal);
    }
    raw.end();
  } catch (error) {
    reply.log.error({ err: error }, "the console's stream broke off");
    raw.destroy();
  } finally {
    clearInterval(heartbeat);
  }
};

/** Resolves when the reader has caught up or is gone; ends the connection of one who stalls. */
const drained = ({ raw }: FastifyReply, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      raw.off("drain", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(() => raw.destroy(), STALLED_MS);
    raw.on("drain", done);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
