import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { answerTo, HEALTH, startHostileGuest, type HostileGuest } from "../../test/fixtures/hostile-guest.ts";
import { MAX_LINE_BYTES } from "../contract/guest.ts";
import type { AppError } from "../lib/errors.ts";
import { poll } from "../lib/wait.ts";
import type { GuestChannel } from "./channel.ts";
import { openSocket } from "../lib/open-stream.ts";
import { connectChannel } from "./connect.ts";

let folder: string;
let guest: HostileGuest;
let channel: GuestChannel;
const socketPath = () => join(folder, "channel.sock");

const health = (timeoutMs = 10_000) => channel.call("health", {}, { timeoutMs });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "channel-"));
  guest = await startHostileGuest(socketPath());
  channel = connectChannel({ open: openSocket(socketPath()) });
});

afterEach(async () => {
  channel.close();
  await guest.stop();
  await rm(folder, { recursive: true });
});

describe("an honest guest", () => {
  test("is asked and answers, many calls at once, in any order", async () => {
    const ids: number[] = [];
    guest.onRequest = (id, socket) => {
      ids.push(id);
      if (ids.length === 50)
        for (const each of ids.toReversed()) socket.write(answerTo(each, { ...HEALTH, uptimeSec: each }));
    };
    const answers = await Promise.all(Array.from({ length: 50 }, () => health()));
    expect(answers.map((answer) => answer.uptimeSec)).toEqual(ids);
    expect(channel.traffic.garbageLines).toBe(0);
  });

  test("is sent an empty line first on each connection", async () => {
    await health();
    expect(guest.received.startsWith('\n{"jsonrpc"')).toBe(true);
  });

  test("that refuses is quoted in one printable line", async () => {
    const error = { code: -32000, message: "no\u001b[2J way\r\nat all" };
    guest.onRequest = (id, socket) => socket.write(`${JSON.stringify({ jsonrpc: "2.0", id, error })}\n`);
    await expect(health()).rejects.toMatchObject({
      code: "guest-refused",
      message: 'The guest agent refused "health": no way at all',
    });
  });

  test("that comes up late still gets the call", async () => {
    await guest.stop();
    const answer = health();
    await sleep(300);
    await guest.start();
    expect(await answer).toEqual(HEALTH);
  });

  test("is found again after the socket was gone", async () => {
    await health();
    await guest.stop();
    await guest.start();
    expect(await health()).toEqual(HEALTH);
    expect(guest.sockets.length).toBe(2);
  });
});

describe("a stream", () => {
  test("that has closed before anybody has it is opened again", async () => {
    let opened = 0;
    const over = connectChannel({
      open: async (reader, signal) => {
        opened++;
        const socket = await openSocket(socketPath())(reader, signal);
        socket.destroy();
        await once(socket, "close");
        return socket;
      },
    });
    await poll(async () => opened > 3 || undefined, { what: "a fourth connection", timeoutMs: 5000, intervalMs: 5 });
    over.close();
  });
});

describe("a call", () => {
  test("ends at its deadline, and its late answer is dropped quietly, a second copy of it is garbage", async () => {
    let late: (() => void) | undefined;
    guest.onRequest = (id, socket) => {
      late ??= () => socket.write(answerTo(id));
      guest.onRequest = (next, same) => same.write(answerTo(next));
    };
    await expect(health(50)).rejects.toMatchObject({ code: "channel-timeout", kind: "timeout" });
    late?.();
    await health();
    expect(channel.traffic.garbageLines).toBe(0);
    late?.();
    await health();
    expect(channel.traffic.garbageLines).toBe(1);
  });

  test("ends when its signal is aborted", async () => {
    guest.onRequest = () => {};
    const abort = new AbortController();
    const answer = channel.call("health", {}, { timeoutMs: 10_000, signal: abort.signal });
    abort.abort(new Error("no longer wanted"));
    await expect(answer).rejects.toThrow("no longer wanted");
  });

  test("in flight is rejected by close, and none is accepted after", async () => {
    guest.onRequest = () => {};
    const answer = health();
    channel.close();
    await expect(answer).rejects.toMatchObject({ code: "channel-closed" });
    await expect(health()).rejects.toMatchObject({ code: "channel-closed" });
  });

  test("longer than a line is refused before it is sent", async () => {
    const params = { sealedAnswer: "A".repeat(MAX_LINE_BYTES) };
    await expect(channel.call("answer", params, { timeoutMs: 1000 })).rejects.toMatchObject({ kind: "invalid" });
    expect(await health()).toEqual(HEALTH);
  });

  test("that expired unsent is never sent", async () => {
    await guest.stop();
    await expect(health(20)).rejects.toMatchObject({ code: "channel-timeout" });
    await guest.start();
    await health();
    expect(guest.received.match(/health/g)).toHaveLength(1);
  });
});

describe("a hostile guest", () => {
  test.each<[string, unknown]>([
    ["a wrong type", { ...HEALTH, uptimeSec: "1" }],
    ["a missing field", {}],
    ["no object", null],
    ["a list", [HEALTH]],
    ["an unknown word", { ...HEALTH, browser: "owned" }],
  ])("answering with %s is found out", async (_name, result) => {
    guest.onRequest = (id, socket) => socket.write(answerTo(id, result));
    await expect(health()).rejects.toMatchObject({ code: "channel-garbage" });
  });

  test("does not choose the words of the error or its size", async () => {
    const planted = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`planted-${i}`, 1]));
    guest.onRequest = (id, socket) => socket.write(answerTo(id, planted));
    const error: unknown = await channel
      .call("listen", { port: 8976, path: "/" }, { timeoutMs: 5000 })
      .catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "channel-garbage" });
    const { message, context } = error as AppError;
    expect(JSON.stringify([message, context])).not.toContain("planted");
  });

  test("gets one answer in per id; the others are garbage", async () => {
    guest.onRequest = (id, socket) => socket.write(answerTo(id).repeat(3));
    await health();
    await health();
    const isCounted = async () => channel.traffic.garbageLines === 4 || undefined;
    expect(await poll(isCounted, { what: "four pieces of garbage", timeoutMs: 5000, intervalMs: 5 })).toBe(true);
  });

  test("sending every kind of nonsense before the answer is survived, and each line is counted", async () => {
    const nonsense = [
      "{",
      "null",
      "[]",
      "hello there, this is no JSON at all, but long enough to be tried",
      JSON.stringify({ jsonrpc: "2.0", method: "open", params: { url: "https://evil.example/" } }),
      JSON.stringify({ jsonrpc: "2.0", id: 1, method: "run", params: { command: "id" } }),
      JSON.stringify({ jsonrpc: "2.0", id: 7, result: HEALTH }),
      JSON.stringify({ jsonrpc: "1.0", id: 7, result: HEALTH }),
      JSON.stringify({ jsonrpc: "2.0", id: "7", result: HEALTH }),
      JSON.stringify({ jsonrpc: "2.0", id: 7.5, result: HEALTH, error: {} }),
      JSON.stringify({ jsonrpc: "2.0", id: 7, error: { code: "x", message: 7 } }),
      "[".repeat(100_000),
      "[".repeat(100_000) + "]".repeat(100_000),
      `{"jsonrpc":"2.0","id":7,"result":${'{"a":'.repeat(30_000)}1${"}".repeat(30_000)}}`,
      '{"__proto__":{"jsonrpc":"2.0"},"id":7,"result":{},"padding":"......"}',
      "\u0000".repeat(100),
    ];
    guest.onRequest = (id, socket) => {
      for (const line of nonsense) socket.write(`${line}\n`);
      socket.write(Buffer.from([0xff, 0xc0, 0x80, 0x0a]));
      socket.write(answerTo(id));
    };
    expect(await health()).toEqual(HEALTH);
    expect(channel.traffic.garbageLines).toBe(nonsense.length + 1);
  });

  test("sending random bytes is survived", async () => {
    guest.onRequest = (id, socket) => {
      for (let i = 0; i < 10; i++) socket.write(randomBytes(50_000));
      socket.write(`\n${answerTo(id)}`);
    };
    for (let i = 0; i < 3; i++) expect(await health()).toEqual(HEALTH);
  });

  test("dying in the middle of an answer leaves no half line behind", async () => {
    let tries = 0;
    guest.onRequest = (id, socket) => {
      tries++;
      if (tries > 1) socket.write(answerTo(id));
      else socket.write(answerTo(id).slice(0, 30), () => socket.destroy());
    };
    await expect(health(200)).rejects.toMatchObject({ code: "channel-timeout" });
    expect(await health()).toEqual(HEALTH);
    expect(channel.traffic.garbageLines).toBe(0);
  });

  test(
    "streaming a line of 32 MiB does not hold up the loop, and is one piece of garbage",
    { timeout: 60_000 },
    async () => {
      const block = Buffer.alloc(1024 * 1024, "a");
      let turns = 0;
      let isOver = false;
      const turn = (): void => {
        turns++;
        if (!isOver) setImmediate(turn);
      };
      turn();
      guest.onRequest = (id, socket) => {
        let left = 32;
        const more = (): void => {
          if (left-- > 0) socket.write(block, more);
          else socket.write(`\n${answerTo(id)}`);
        };
        more();
      };
      expect(await health(50_000)).toEqual(HEALTH);
      isOver = true;
      expect(channel.traffic.garbageLines).toBe(1);
      expect(turns).toBeGreaterThan(10);
    },
  );
});
