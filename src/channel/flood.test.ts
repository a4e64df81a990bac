import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { answerTo, HEALTH, startHostileGuest, type HostileGuest } from "../../test/fixtures/hostile-guest.ts";
import { poll } from "../lib/wait.ts";
import type { GuestChannel } from "./channel.ts";
import { openSocket } from "../lib/open-stream.ts";
import { connectChannel } from "./connect.ts";

let folder: string;
let guest: HostileGuest;
let channel: GuestChannel;

describe("a guest that costs too much", () => {
  /** Says what the test wants; counts the pieces that were paid for. */
  const budget = {
    pieces: 0,
    waitMs: 0,
    isHopeless: false,
    spentMs: 7,
    spend: <T>(work: () => T) => (budget.pieces++, work()),
  };
  const FLOODS = {
    "empty lines": "\n".repeat(65_536),
    "lists in lists in one line": `${"[".repeat(131_000)}\n`,
    "20 000 keys in one line": `{${Array.from({ length: 20_000 }, (_, i) => `"k${i}":1`).join()}}\n`,
    "a line without end": "a".repeat(65_536),
    "answers to what nobody asked": `${JSON.stringify({ jsonrpc: "2.0", id: 1, result: {} })}\n`.repeat(2000),
  };
  /** Writes for as long as the host reads. */
  const flood = (socket: Socket, text: string): void => {
    const more = (): void => void (socket.destroyed || socket.write(text, more));
    more();
  };

  const health = (timeoutMs = 10_000) => channel.call("health", {}, { timeoutMs });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "flood-"));
    guest = await startHostileGuest(join(folder, "channel.sock"));
    Object.assign(budget, { pieces: 0, waitMs: 0, isHopeless: false });
    channel = connectChannel({ open: openSocket(join(folder, "channel.sock")), budget });
  });

  afterEach(async () => {
    channel.close();
    await guest.stop();
    await rm(folder, { recursive: true });
  });

  const until = (condition: () => boolean) =>
    poll(async () => condition() || undefined, { what: "the flood's effect", timeoutMs: 10_000, intervalMs: 5 });

  test.each(Object.entries(FLOODS))("is not read while its budget is spent, and pays for %s", async (_what, text) => {
    guest.onRequest = (_id, socket) => flood(socket, text);
    budget.waitMs = 60_000;
    const asked = health().catch((error: unknown) => error);
    await until(() => budget.pieces > 0);
    // Its writes block, and nothing that is in their way grows.
    await until(() => (guest.sockets.at(-1)?.writableLength ?? 0) > 0);
    await sleep(100);
    expect(budget.pieces).toBe(1);
    expect(channel.traffic.bytes).toBeLessThanOrEqual(65_536);
    channel.close();
    expect(await asked).toMatchObject({ code: "channel-closed" });
  });

  test("is read again when it may cost something again", async () => {
    let answer = "";
    guest.onRequest = (id, socket) => {
      budget.waitMs = 50;
      answer = answerTo(id);
      socket.write("x\n");
      socket.write("x".repeat(100_000));
    };
    const asked = health();
    await until(() => budget.pieces > 0);
    budget.waitMs = 0;
    guest.sockets.at(-1)?.write(`\n${answer}`);
    expect(await asked).toEqual(HEALTH);
  });

  test("and goes on costing it loses its channel: calls end and begin with that reason, and the traffic tells", async () => {
    guest.onRequest = (_id, socket) => flood(socket, FLOODS["empty lines"]);
    budget.isHopeless = true;
    await expect(health()).rejects.toMatchObject({ code: "guest-floods", kind: "unavailable" });
    await expect(health()).rejects.toMatchObject({ code: "guest-floods" });
    expect(channel.traffic).toMatchObject({ isFlooding: true, spentMs: 7 });
    await until(() => guest.sockets.at(-1)?.destroyed === true);
    channel.close();
    expect(channel.traffic.isFlooding).toBe(true);
  });

  test.each([
    ["too deep", `${"[".repeat(7)}${"]".repeat(7)}`],
    ["of too many parts", `[${"0,".repeat(4096)}0]`],
    ["no JSON", "}"],
  ])("an answer %s is refused, and whatever follows under its id is not looked at", async (_what, more) => {
    // Its shape is right but for what shapes pass over.
    const line = (id: number) => answerTo(id).replace("}}", `,"more":${more}}}`);
    guest.onRequest = (id, socket) => socket.write(line(id) + answerTo(id));
    await expect(health()).rejects.toMatchObject({ code: "channel-garbage" });
    await until(() => channel.traffic.garbageLines === 1);
  });
});
