import { pbkdf2 } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { poll } from "../../lib/wait.ts";
import { openVsock } from "./channel.ts";

let root: string;
let path: string;
let server: Server | undefined;
let clients: Socket[];

beforeEach(() => {
  root = mkdtempSync("/tmp/sp-vsock-");
  path = join(root, "vsock.sock");
  clients = [];
});
afterEach(() => {
  for (const client of clients) client.destroy();
  server?.close();
  rmSync(root, { recursive: true });
});

/** A VMM that does as `onCommand` says once it was told something. */
const serve = async (onCommand: (command: string, socket: Socket) => void): Promise<void> => {
  server = createServer((socket) => {
    clients.push(socket.on("error", () => {}));
    socket.once("data", (chunk) => onCommand(chunk.toString(), socket));
  });
  await new Promise<void>((resolve) => server?.listen(path, resolve));
};

const reader = () => {
  const buffer = Buffer.alloc(1024);
  const read = { text: "" };
  const callback = (length: number): boolean => {
    read.text += buffer.toString("latin1", 0, length);
    return true;
  };
  return { buffer, callback, read };
};

const has = (read: { text: string }, text: string) =>
  poll(async () => read.text === text || undefined, { what: text, timeoutMs: 2_000, intervalMs: 5 });

const open = (into: ReturnType<typeof reader>, signal = new AbortController().signal) =>
  openVsock(path, 1024)(into, signal);

test("asks for the port, and hands on what the guest said in the same breath and after it", async () => {
  await serve((command, socket) => {
    expect(command).toBe("CONNECT 1024\n");
    socket.write("OK 1073741824\nhe");
    socket.on("data", (chunk) => socket.write(`llo ${chunk.toString()}`));
  });
  const into = reader();
  const socket = await open(into);
  await has(into.read, "he");
  socket.write("you");
  await has(into.read, "hello you");
  socket.destroy();
});

test("takes an answer that comes in pieces", async () => {
  await serve((_, socket) => {
    socket.write("OK 10737");
    setTimeout(() => socket.write("41824\nhello"), 20);
  });
  const into = reader();
  const socket = await open(into);
  await has(into.read, "hello");
  socket.destroy();
});

test.each([
  ["something else", "NO\n"],
  ["a line without end", "OK ".padEnd(4096, "1")],
  ["no number", "OK x\nhello"],
])("hangs up on %s, and hands none of it on", async (_, answer) => {
  await serve((_command, socket) => socket.write(answer));
  const into = reader();
  await expect(open(into)).rejects.toMatchObject({ code: "channel-refused" });
  const isGone = async () => (clients[0]?.destroyed || clients[0]?.readableEnded ? true : undefined);
  await poll(isGone, { what: "its end", timeoutMs: 2_000, intervalMs: 5 });
  expect(into.read.text).toBe("");
});

test("says that nobody listens in the guest when the VMM hangs up", async () => {
  await serve((_, socket) => socket.end());
  await expect(open(reader())).rejects.toThrow("nobody in the guest listens yet");
});

test("says so at once, also when it hung up before it was told anything", async () => {
  server = createServer((socket) => socket.destroy()).listen(path);
  await once(server, "listening");
  // The threads that close files are busy, so that the end is there before the stream is.
  let isOver = false;
  const work = (): void => void (isOver || pbkdf2("", "", 10_000, 32, "sha512", work));
  for (let thread = 0; thread < 8; thread++) work();
  onTestFinished(() => void (isOver = true));
  await expect(open(reader())).rejects.toThrow("nobody in the guest");
});

test("ends at once when it is told so, also while it waits for the answer", async () => {
  await serve(() => {});
  const stopping = new AbortController();
  const opening = open(reader(), stopping.signal);
  setTimeout(() => stopping.abort(new Error("enough")), 50);
  await expect(opening).rejects.toThrow("enough");
  await expect(open(reader(), stopping.signal)).rejects.toThrow("enough");
});

test("rejects with the system's error where there is no socket", async () => {
  await expect(open(reader())).rejects.toMatchObject({ code: "ENOENT" });
});
