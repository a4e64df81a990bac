import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import websocket from "@fastify/websocket";
import fastify from "fastify";
import { afterEach, expect, test } from "vitest";
import { poll } from "../lib/wait.ts";
import { boundConnections } from "./connections.ts";
import type { App } from "./context.ts";
import { LIMITS, type Limits } from "./limits.ts";

let app: App;
let sockets: Socket[] = [];
let asked = 0;
let answer = (): void => {};

const serve = async (limits: Partial<Limits>, trustedProxy?: string): Promise<void> => {
  app = fastify({ forceCloseConnections: true }) as unknown as App;
  await app.register(websocket);
  boundConnections(app, { ...LIMITS, ...limits }, trustedProxy);
  asked = 0;
  app.get("/", async () => "served");
  app.get("/slow", async () => {
    asked += 1;
    await new Promise<void>((resolve) => (answer = resolve));
    return "late";
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
};

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets = [];
  await app.close();
});

/** A connection from a loopback address. */
const dial = (from: string): Socket => {
  const { port } = app.server.address() as AddressInfo;
  const socket = connect({ port, host: "127.0.0.1", localAddress: from }).on("error", () => {});
  sockets.push(socket);
  return socket;
};

/** What comes back for one request, or nothing when the connection is closed. */
const ask = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    socket.once("data", (data) => resolve(data.toString("latin1"))).once("close", () => resolve(""));
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  });

test("one address has its share, others have theirs, and who leaves makes room", async () => {
  await serve({ connectionsPerAddress: 3 });
  const mine = [dial("127.0.0.2"), dial("127.0.0.2"), dial("127.0.0.2")];
  for (const socket of mine) expect(await ask(socket)).toMatch(/served$/);
  expect(await ask(dial("127.0.0.2"))).toBe("");
  expect(await ask(dial("127.0.0.3"))).toMatch(/served$/);
  mine[0]?.destroy();
  await poll(async () => (await ask(dial("127.0.0.2"))) !== "" || undefined, {
    what: "room",
    timeoutMs: 5000,
    intervalMs: 50,
  });
});

test("all together have a share, too", async () => {
  await serve({ connections: 3 });
  for (const host of [2, 3, 4]) expect(await ask(dial(`127.0.0.${host}`))).toMatch(/served$/);
  expect(await ask(dial("127.0.0.5"))).toBe("");
});

test("those over the Unix socket have theirs, which is not used up over TCP", async () => {
  await serve({ connections: 1, socketConnections: 2 });
  const path = join(mkdtempSync(join(tmpdir(), "sallyport-socket-")), "socket");
  // As listen.ts does: the server is handed what came over a socket.
  const beside = createServer((socket) => app.server.emit("connection", socket)).listen(path);
  const local = (): Socket => {
    const socket = connect(path).on("error", () => {});
    sockets.push(socket);
    return socket;
  };
  expect(await ask(dial("127.0.0.2"))).toMatch(/served$/);
  expect(await ask(dial("127.0.0.3"))).toBe("");
  for (let i = 0; i < 2; i++) expect(await ask(local())).toMatch(/served$/);
  expect(await ask(local())).toBe("");
  beside.close();
  rmSync(dirname(path), { recursive: true });
});

test.each(["127.0.0.9", "127.0.0.8/30"])("a trusted proxy at %s has no share of its own", async (proxy) => {
  await serve({ connectionsPerAddress: 1 }, proxy);
  for (let i = 0; i < 3; i++) expect(await ask(dial("127.0.0.9"))).toMatch(/served$/);
  expect(await ask(dial("127.0.0.2"))).toMatch(/served$/);
  expect(await ask(dial("127.0.0.2"))).toBe("");
});

test("a thousand requests at once over one connection are not a thousand answers", async () => {
  await serve({});
  const socket = dial("127.0.0.2");
  socket.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000));
  await new Promise((resolve) => socket.once("close", resolve));
  expect(asked).toBe(LIMITS.pipelined);
  answer();
});
