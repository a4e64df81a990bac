import { mkdtemp, rm, stat } from "node:fs/promises";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { poll } from "../lib/wait.ts";
import { listenForHost } from "./channel-socket.ts";
import { createPort, type Port } from "./port.ts";

let folder: string;
let socketPath: string;
let port: Port;
let lines: string[];
const hosts: Socket[] = [];

const until = async (seen: () => boolean | Promise<boolean>): Promise<true> =>
  poll(async () => (await seen()) || undefined, { what: "it", timeoutMs: 10_000, intervalMs: 5 });

const host = async (): Promise<{ socket: Socket; text: () => string; isOpen: () => boolean }> => {
  const socket = connect(socketPath);
  hosts.push(socket);
  await once(socket, "connect");
  let text = "";
  socket
    .setEncoding("utf8")
    .on("data", (piece: string) => (text += piece))
    .on("error", () => {});
  return { socket, text: () => text, isOpen: () => !socket.closed };
};

const open = (): Port =>
  createPort({
    openDevice: (listener) => listenForHost(socketPath, listener),
    onLine: (line) => lines.push(line),
    log: () => {},
  });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "channel-"));
  socketPath = join(folder, "run", "channel.sock");
  lines = [];
  port = open();
  await until(isThere);
});

afterEach(async () => {
  hosts.splice(0).forEach((socket) => socket.destroy());
  await port.close();
  await rm(folder, { recursive: true });
});

/** Closed to others: it is so last. */
const isThere = (): Promise<boolean> =>
  stat(socketPath).then(
    ({ mode }) => (mode & 0o777) === 0o600,
    () => false,
  );

test("is nobody's but its owner's, socket and folder", async () => {
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, "run"))).mode & 0o777).toBe(0o700);
});

test("a host that comes takes the place of the one before, and half a line of that one is forgotten", async () => {
  const first = await host();
  first.socket.write("one\nhal");
  await until(() => lines.length === 1);
  const second = await host();
  second.socket.write("two\n");
  await until(() => lines.length === 2 && !first.isOpen());
  port.send("answer");
  await until(() => second.text() === "answer\n");
  expect([lines, first.text()]).toEqual([["one", "two"], ""]);
});

test("waits for the next host when one has closed, and sends it what was meant for the one before", async () => {
  const first = await host();
  first.socket.end("one\n");
  await until(() => lines.length === 1 && !first.isOpen());
  port.send("late");
  const second = await host();
  await until(() => second.text() === "late\n");
  second.socket.write("two\n");
  await until(() => lines.length === 2);
});

test("the next host gets whole what one that did not read got in part", async () => {
  const first = await host();
  first.socket.pause();
  const long = "x".repeat(900_000);
  port.send(long);
  await sleep(100);
  const second = await host();
  await until(() => second.text().endsWith("\n"));
  expect(second.text() === `${long}\n`).toBe(true);
});

test("keeps the newest lines while no host reads", async () => {
  const count = 3000;
  for (let i = 0; i < count; i++) port.send(`${i} ${"x".repeat(1000)}`);
  const first = await host();
  await until(() => first.text().includes(`\n${count - 1} `));
  expect(first.text().length).toBeLessThan(1.2 * 1024 * 1024);
});

test("listens where an agent that was killed had listened", async () => {
  const again = open();
  again.send("hello");
  await until(async () => {
    const { socket, text } = await host();
    await Promise.race([once(socket, "data"), sleep(50)]);
    return text() === "hello\n";
  });
  await again.close();
});
