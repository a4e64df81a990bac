import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fastify, { type FastifyInstance } from "fastify";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { poll } from "../lib/wait.ts";
import { installErrorHandler } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { createLiveStreams, type LiveStream } from "./live-stream.ts";

const PIECE = "x".repeat(16 * 1024);
const KIB = 1024;

let app: FastifyInstance;
let directory: string;
let made: { streams: number; pieces: number; isOver: boolean; signal: AbortSignal | undefined };
let isAllowed: boolean;

/** Serves one session's stream at `/`, which goes on until `made.isOver`. */
const serve = async (limits: Partial<typeof LIMITS>, stream: Partial<LiveStream> = {}): Promise<void> => {
  const send = createLiveStreams({ ...LIMITS, ...limits });
  app = fastify({ connectionTimeout: limits.silentMs ?? 0, forceCloseConnections: true });
  installErrorHandler(app);
  app.get("/", async (_request, reply) =>
    send(reply, {
      sessionId: "ses_1",
      contentType: "text/plain",
      heartbeat: "~",
      pieces: async function* (signal) {
        made.signal = signal;
        made.streams += 1;
        while (!made.isOver && !signal.aborted) {
          made.pieces += 1;
          yield PIECE;
        }
      },
      isAllowed: async () => isAllowed,
      ...stream,
    }),
  );
  await app.listen({ path: join(directory, "socket") });
};

/** A reader that asks and takes nothing. */
const deaf = async (): Promise<Socket> => {
  const socket = connect(join(directory, "socket")).pause();
  socket.on("error", () => {}).write("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
  await once(socket, "connect");
  return socket;
};

const until = (isTrue: () => boolean, what: string): Promise<true> =>
  poll(async () => isTrue() || undefined, { what, timeoutMs: 10_000, intervalMs: 20 });

/** Resolves when nothing more has been made for a while. */
const untilStalled = async (): Promise<void> => {
  let before = -1;
  await poll(async () => made.pieces === before || void (before = made.pieces), {
    what: "the stream to stall",
    timeoutMs: 10_000,
    intervalMs: 200,
  });
};

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sallyport-stream-"));
  made = { streams: 0, pieces: 0, isOver: false, signal: undefined };
  isAllowed = true;
});
afterEach(async () => {
  await app.close();
  rmSync(directory, { recursive: true });
});

describe("a stream", () => {
  test("of a reader that never reads makes no more than fits, outlives its source's end, and is closed in time", async () => {
    await serve({ heartbeatMs: 5, silentMs: 1500 });
    const socket = await deaf();
    await untilStalled();
    expect(made.pieces * PIECE.length).toBeLessThan(1024 * KIB);
    made.isOver = true;
    await until(() => made.signal?.aborted === true, "the connection to be closed");
    socket.destroy();
  });

  test("has a heartbeat where nothing is said, none after its end, and none of a connection that is gone", async () => {
    let end = (): void => {};
    await serve(
      { heartbeatMs: 5 },
      {
        pieces: async function* (signal) {
          made.signal = signal;
          yield "first";
          await new Promise<void>((resolve) => (end = resolve));
          yield "last";
        },
      },
    );
    const response = await reading();
    await until(() => /first.*~.*~/s.test(response.text), "two heartbeats");
    end();
    await until(() => response.isOver, "the end");
    expect(response.text).toMatch(/~last$/);

    const socket = await deaf();
    await until(() => made.signal?.aborted === false, "the second stream");
    socket.destroy();
    await until(() => made.signal?.aborted === true, "the second stream's end");
  });

  test("is not filled with heartbeats while nobody reads", async () => {
    await serve({ heartbeatMs: 2 });
    const socket = await deaf();
    await untilStalled();
    made.isOver = true;
    let text = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    socket.resume();
    await until(() => text.endsWith("\r\n0\r\n\r\n"), "the stream's end");
    expect(text).not.toContain("~");
    socket.destroy();
  });

  test("ends when its key is no longer good, whether it is read or not", async () => {
    await serve({ heartbeatMs: 20 });
    const socket = await deaf();
    await untilStalled();
    expect(made.signal?.aborted).toBe(false);
    isAllowed = false;
    await until(() => made.signal?.aborted === true, "the stream's end");
    socket.destroy();
  });

  test("is refused when too many are open, and has its place again when one ends", async () => {
    await serve({ streamsPerSession: 2 });
    const sockets = [await deaf(), await deaf()];
    await until(() => made.streams === 2, "two streams");
    const refused = await app.inject("/");
    expect(refused.json()).toMatchObject({ status: 429, code: "too-many-streams" });
    sockets[0]?.destroy();
    await poll(
      async () => {
        const socket = await deaf();
        const [head] = (await once(socket.resume(), "data")) as [Buffer];
        socket.destroy();
        return head.toString("latin1").startsWith("HTTP/1.1 200") || undefined;
      },
      { what: "a place", timeoutMs: 5000, intervalMs: 50 },
    );
    sockets[1]?.destroy();
  });
});

/** The text as it comes. */
const reading = async (): Promise<{ text: string; isOver: boolean }> => {
  const outgoing = request({ socketPath: join(directory, "socket") }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const answer = { text: "", isOver: false };
  response.setEncoding("utf8").on("data", (chunk: string) => (answer.text += chunk));
  response.on("end", () => (answer.isOver = true));
  return answer;
};
