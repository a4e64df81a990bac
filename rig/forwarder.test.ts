import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { forwardPort } from "./forwarder.ts";

let directory: string;
let inner: Server;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-forwarder-"));
  inner = createServer((socket) => socket.end("hello from inside"));
  inner.listen(join(directory, "api.sock"));
  await once(inner, "listening");
});
afterEach(async () => {
  inner.close();
  await rm(directory, { recursive: true });
});

/** A port that was free a moment ago. */
const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
};

test("what connects to the port talks to the socket", async () => {
  const port = await freePort();
  const close = await forwardPort(port, join(directory, "api.sock"));
  expect(await text(connect(port, "127.0.0.1"))).toBe("hello from inside");
  await close();
});

test("nobody behind the socket: the connection is closed, the forwarder lives", async () => {
  const port = await freePort();
  const close = await forwardPort(port, join(directory, "nobody.sock"));
  for (const _ of [1, 2]) {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    await once(socket, "close");
    expect(socket.bytesRead).toBe(0);
  }
  await close();
});

test("a taken port is named, with what to do", async () => {
  const port = await freePort();
  const close = await forwardPort(port, join(directory, "api.sock"));
  await expect(forwardPort(port, join(directory, "api.sock"))).rejects.toMatchObject({
    code: "port-taken",
    message: expect.stringContaining(String(port)),
  });
  await close();
});
