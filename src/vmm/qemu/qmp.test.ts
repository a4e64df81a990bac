import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { withQmp, type Execute } from "./qmp.ts";

const GREETING = `{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": []}}\r\n`;

let directory: string;
let path: string;
let server: Server | undefined;
let stop: AbortController;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-qmp-"));
  path = join(directory, "qmp.sock");
  stop = new AbortController();
});

afterEach(async () => {
  server?.close();
  server = undefined;
  await rm(directory, { recursive: true });
});

type Reply = (command: { execute: string; id: number }, socket: Socket) => void;

/** A QEMU that greets, agrees to `qmp_capabilities`, and leaves the rest to `reply`. `gone`: its client is. */
const qemu = async (reply: Reply, greet: (socket: Socket) => void = (socket) => socket.write(GREETING)) => {
  const gone = Promise.withResolvers<void>();
  server = createServer((socket) => {
    // The client hangs up on a flood while it is still being sent.
    socket.on("error", () => {}).on("close", () => gone.resolve());
    greet(socket);
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      for (const line of chunk.trim().split("\n")) {
        const command = JSON.parse(line);
        if (command.execute === "qmp_capabilities") socket.write(`{"return": {}, "id": ${command.id}}\n`);
        else reply(command, socket);
      }
    });
  });
  server.listen(path);
  await once(server, "listening");
  return { gone: gone.promise };
};

const converse = <T>(use: (execute: Execute) => Promise<T>): Promise<T> => withQmp(path, stop.signal, use);
const ask = (command: string) => converse((execute) => execute(command));

const flood = (socket: Socket, text: string): void => {
  const block = text.repeat(Math.ceil(16_384 / text.length));
  const more = (): void => void (socket.destroyed || socket.write(block, more));
  more();
};

test("gives the answer, past events and in pieces", async () => {
  await qemu(({ id }, socket) => {
    socket.write(`{"event": "STOP", "timestamp": {"seconds": 1}}\r\n{"return": {"sta`);
    setImmediate(() => socket.write(`tus": "running"}, "id": ${id}}\r\n`));
  });
  expect(await ask("query-status")).toEqual({ status: "running" });
});

test("gives each command its own answer, and closes the connection afterwards", async () => {
  const { gone } = await qemu(({ id }, socket) => {
    socket.write(`{"return": "again", "id": ${id - 1}}\n{"return": "for ${id}", "id": ${id}}\n`);
  });
  expect(await converse(async (execute) => [await execute("a"), await execute("b")])).toEqual(["for 2", "for 3"]);
  await gone;
});

test.each([
  ["its own words", "no\\u001b[2J\\n such x", "QEMU refused x: no such x"],
  ["a flood", "x".repeat(10_000), `QEMU refused x: ${"x".repeat(300)}`],
  ["a secret", "see https://a/b?code=1", "QEMU refused x: see https://a/b?[cut]"],
])("says what was refused with %s, on one line and bounded", async (_, desc, message) => {
  await qemu(({ id }, socket) => socket.write(`{"error": {"class": "Error", "desc": "${desc}"}, "id": ${id}}\n`));
  await expect(ask("x")).rejects.toMatchObject({ code: "vmm-refused", message });
});

describe.each<[string, Parameters<typeof qemu>]>([
  ["before its greeting", [() => {}, () => {}]],
  ["instead of an answer", [() => {}]],
])("a QEMU that says nothing it should %s", (_, [reply, greet]) => {
  const hostile = (misbehave: (socket: Socket) => void) =>
    greet ? qemu(reply, misbehave) : qemu((_command, socket) => misbehave(socket));

  test.each([
    ["empty objects", "{}\n"],
    ["empty lines", "\n"],
    ["no JSON", "no json\n"],
    ["a line without end", "x"],
    ["a list of lists without end", "["],
    ["long lines", `${"[".repeat(30_000)}${"]".repeat(30_000)}\n`],
    ["answers to nobody", `{"return": {}, "id": 99}\n`],
  ])("and sends %s is heard to a bound", async (_what, text) => {
    let sent = 0;
    const { gone } = await hostile((socket) => {
      flood(socket, text);
      socket.on("close", () => (sent = socket.bytesWritten));
    });
    await expect(ask("x")).rejects.toMatchObject({ code: "vmm-floods" });
    await gone;
    // What is written also lies in the kernel's buffers and the stream's.
    expect(sent).toBeLessThan(1024 * 1024);
  });

  test("and sends as many lines as fit into the bound is heard to another: each line has its price", async () => {
    await hostile((socket) => socket.write("\n".repeat(1000)));
    await expect(ask("x")).rejects.toMatchObject({ code: "vmm-floods" });
  });

  test("is left when the asker gives up, whose reason is thrown", async () => {
    const { gone } = await hostile(() => stop.abort(new Error("enough")));
    await expect(ask("x")).rejects.toThrow("enough");
    await gone;
  });

  test("and hangs up is not waited for", async () => {
    await hostile((socket) => socket.end());
    await expect(ask("x")).rejects.toMatchObject({ code: "qmp-closed" });
    await expect(ask("x")).rejects.toMatchObject({ code: "qmp-closed" });
  });
});

test("rejects at once when nobody listens", async () => {
  await expect(ask("x")).rejects.toMatchObject({ code: "ENOENT" });
});
