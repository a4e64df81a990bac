import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connectQmp } from "./qmp.ts";

const GREETING = `{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}}, "capabilities": []}}\r\n`;

let directory: string;
let path: string;
let server: Server | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-qmp-"));
  path = join(directory, "qmp.sock");
});

afterEach(async () => {
  server?.close();
  server = undefined;
  await rm(directory, { recursive: true });
});

/** A QEMU that greets, agrees to `qmp_capabilities`, and leaves the rest to `reply`. */
const qemu = async (reply: (command: { execute: string; id: number }, socket: Socket) => void, greet = GREETING) => {
  server = createServer((socket) => {
    // The client hangs up on garbage while it is still being sent.
    socket.on("error", () => {});
    socket.write(greet);
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
};

test("gives the answer, past events and in pieces", async () => {
  await qemu(({ id }, socket) => {
    socket.write(`{"event": "STOP", "timestamp": {"seconds": 1}}\r\n{"return": {"sta`);
    setImmediate(() => socket.write(`tus": "running"}, "id": ${id}}\r\n`));
  });
  const qmp = await connectQmp(path, 1_000);
  expect(await qmp.execute("query-status", 1_000)).toEqual({ status: "running" });
  qmp.close();
});

test("tells answers apart that come in another order", async () => {
  const ids: number[] = [];
  await qemu(({ id }, socket) => {
    ids.push(id);
    if (ids.length === 2)
      for (const each of ids.toReversed()) socket.write(`{"return": "for ${each}", "id": ${each}}\n`);
  });
  const qmp = await connectQmp(path, 1_000);
  const answers = await Promise.all([qmp.execute("a", 1_000), qmp.execute("b", 1_000)]);
  expect(answers).toEqual(ids.map((id) => `for ${id}`));
  qmp.close();
});

test("rejects with what QEMU refused", async () => {
  await qemu(({ id }, socket) =>
    socket.write(`{"error": {"class": "CommandNotFound", "desc": "no x"}, "id": ${id}}\n`),
  );
  const qmp = await connectQmp(path, 1_000);
  await expect(qmp.execute("x", 1_000)).rejects.toMatchObject({ code: "qmp-refused", message: "QEMU refused: no x" });
  qmp.close();
});

test("gives up on a command without an answer, and on a server without a greeting", async () => {
  await qemu(() => {});
  const qmp = await connectQmp(path, 1_000);
  await expect(qmp.execute("x", 20)).rejects.toMatchObject({ code: "qmp-timeout" });
  qmp.close();
  server?.close();
  path += "2";
  await qemu(() => {}, "");
  await expect(connectQmp(path, 20)).rejects.toMatchObject({ code: "qmp-timeout" });
});

test.each([
  ["garbage", "no json\n"],
  ["an endless line", "x".repeat(2 * 1024 * 1024)],
])("ends the connection on %s", async (_, garbage) => {
  await qemu((_command, socket) => socket.write(garbage));
  const qmp = await connectQmp(path, 1_000);
  await expect(qmp.execute("x", 5_000)).rejects.toMatchObject({ code: "qmp-closed" });
  await expect(qmp.execute("y", 5_000)).rejects.toMatchObject({ code: "qmp-closed" });
});

test("rejects what is waited for when QEMU ends", async () => {
  await qemu((_command, socket) => socket.destroy());
  const qmp = await connectQmp(path, 1_000);
  await expect(qmp.execute("quit", 5_000)).rejects.toMatchObject({ code: "qmp-closed" });
});

test("rejects at once when nobody listens", async () => {
  await expect(connectQmp(path, 5_000)).rejects.toMatchObject({ code: "ENOENT" });
});
