import { createHash } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { poll } from "../lib/wait.ts";
import { bridgeScreen } from "./screen-bridge.ts";

const MIB = 1024 * 1024;
const PIECE = 64 * 1024;

/** A screen that has so many bytes, each piece another, and takes what it is sent when it is let. */
const screenOf = (bytes: number) => {
  const made = { bytes: 0, hash: createHash("sha256"), taken: [] as Buffer[], let: (): void => {}, isSlow: false };
  const screen = new Duplex({
    read: () => {
      if (made.bytes >= bytes) return;
      const piece = Buffer.alloc(PIECE, made.bytes / PIECE);
      made.bytes += PIECE;
      made.hash.update(piece);
      screen.push(piece);
    },
    write: (chunk: Buffer, _encoding, done) => {
      made.taken.push(chunk);
      if (made.isSlow) made.let = done;
      else done();
    },
  });
  return { screen, made };
};

const bridged = async (screen: Duplex) => {
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  onTestFinished(() => server.close());
  await once(server, "listening");
  const ends: (Error | undefined)[] = [];
  server.on("connection", (socket) => bridgeScreen(socket, screen, (error) => ends.push(error)));
  const viewer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(() => viewer.terminate());
  const received = { bytes: 0, hash: createHash("sha256") };
  viewer.on("message", (message: Buffer) => {
    received.bytes += message.length;
    received.hash.update(message);
  });
  return { viewer, received, ends };
};

test("a viewer that does not read makes the guest's pixels wait, and gets all of them later", async () => {
  const { screen, made } = screenOf(64 * MIB);
  const { viewer, received } = await bridged(screen);
  await once(viewer, "open");
  viewer.pause();
  let before = -1;
  const stalled = async (): Promise<true | undefined> => made.bytes === before || void (before = made.bytes);
  await poll(stalled, { what: "the pixels to wait", timeoutMs: 10_000, intervalMs: 200 });
  // The rest is in the kernel's buffers.
  expect(made.bytes).toBeLessThan(32 * MIB);
  viewer.resume();
  const isAll = async (): Promise<true | undefined> => received.bytes === 64 * MIB || undefined;
  await poll(isAll, { what: "all pixels", timeoutMs: 10_000, intervalMs: 20 });
  expect(received.hash.digest("hex")).toBe(made.hash.digest("hex"));
});

test("a guest that does not read makes the viewer wait, and gets all in its order later", async () => {
  const { screen, made } = screenOf(0);
  made.isSlow = true;
  const { viewer } = await bridged(screen);
  await once(viewer, "open");
  const messages = Array.from({ length: 400 }, (_, i) => Buffer.alloc(PIECE, i));
  for (const message of messages) viewer.send(message);
  await sleep(200);
  expect(made.taken.length).toBe(1);
  expect(screen.writableLength).toBeLessThan(8 * MIB);
  made.isSlow = false;
  made.let();
  const all = Buffer.concat(messages);
  const isAll = async (): Promise<true | undefined> => made.taken.length === messages.length || undefined;
  await poll(isAll, { what: "all that was typed", timeoutMs: 10_000, intervalMs: 20 });
  expect(Buffer.concat(made.taken).equals(all)).toBe(true);
});

test.each(["viewer", "screen"] as const)("the end of the %s is told", async (side) => {
  const { screen } = screenOf(0);
  const { viewer, ends } = await bridged(screen);
  await once(viewer, "open");
  if (side === "viewer") viewer.close();
  else screen.destroy(new Error("gone"));
  const isTold = async (): Promise<true | undefined> => ends.length > 0 || undefined;
  await poll(isTold, { what: "the end", timeoutMs: 10_000, intervalMs: 20 });
  expect(ends[0]?.message).toBe(side === "viewer" ? undefined : "gone");
});
