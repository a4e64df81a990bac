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
  app.get("/keyed", { config: { access: "key" } }, async () => "served");
  app.get("/slow", { config: { access: "key" } }, async () => {
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

const until = (isTrue: () => boolean): Promise<true> =>
  poll(async () => isTrue() || undefined, { what: "it", timeoutMs: 5000, intervalMs: 20 });

/** A connection from a loopback address. */
const dial = (from: string): Socket => {
  const { port } = app.server.address() as AddressInfo;
  const socket = connect({ port, host: "127.0.0.1", localAddress: from }).on("error", () => {});
  sockets.push(socket);
  return socket;
};

/** What comes back for one request, or nothing when the connection is closed. */
const ask = (socket: Socket, path = "/"): Promise<string> =>
  new Promise((resolve) => {
    socket.once("data", (data) => resolve(data.toString("latin1"))).once("close", () => resolve(""));
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
  });

const isOpen = (socket: Socket): boolean => !socket.destroyed && !socket.readableEnded;

test("one address has its share, in which the oldest makes room; others have theirs", async () => {
  await serve({ connectionsPerAddress: 3 });
  const other = dial("127.0.0.3");
  expect(await ask(other)).toMatch(/served$/);
  const mine = [dial("127.0.0.2"), dial("127.0.0.2"), dial("127.0.0.2")];
  for (const socket of mine) expect(await ask(socket)).toMatch(/served$/);
  expect(await ask(dial("127.0.0.2"))).toMatch(/served$/);
  await until(() => !isOpen(mine[0] as Socket));
  expect([other, ...mine.slice(1)].map(isOpen)).toEqual([true, true, true]);
});

test("all together have a share, too", async () => {
  await serve({ connections: 3 });
  const three = [2, 3, 4].map((host) => dial(`127.0.0.${host}`));
  for (const socket of three) expect(await ask(socket)).toMatch(/served$/);
  expect(await ask(dial("127.0.0.5"))).toMatch(/served$/);
  await until(() => !isOpen(three[0] as Socket));
  expect(three.slice(1).map(isOpen)).toEqual([true, true]);
});

test("who showed a key makes room last, and never while it is served", async () => {
  await serve({ connections: 2 });
  const served = dial("127.0.0.2");
  const idle = dial("127.0.0.3");
  served.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n");
  await until(() => asked === 1);
  expect(await ask(idle, "/keyed")).toMatch(/served$/);
  // Nobody without a key is there: the one that waits for its next request goes.
  expect(await ask(dial("127.0.0.4"), "/keyed")).toMatch(/served$/);
  await until(() => !isOpen(idle));
  expect(isOpen(served)).toBe(true);
  const stranger = dial("127.0.0.5");
  expect(await ask(stranger)).toMatch(/served$/);
  expect(await ask(dial("127.0.0.6"))).toMatch(/served$/);
  await until(() => !isOpen(stranger));
  expect(isOpen(served)).toBe(true);
  answer();
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
  const mine = [local(), local()];
  for (const socket of mine) expect(await ask(socket)).toMatch(/served$/);
  for (const host of [2, 3]) expect(await ask(dial(`127.0.0.${host}`))).toMatch(/served$/);
  expect(mine.map(isOpen)).toEqual([true, true]);
  expect(await ask(local())).toMatch(/served$/);
  await until(() => !isOpen(mine[0] as Socket));
  beside.close();
  rmSync(dirname(path), { recursive: true });
});

test.each(["127.0.0.9", "127.0.0.8/30"])("a trusted proxy at %s has no share of its own", async (proxy) => {
  await serve({ connectionsPerAddress: 1 }, proxy);
  const ofProxy = [dial("127.0.0.9"), dial("127.0.0.9"), dial("127.0.0.9")];
  for (const socket of ofProxy) expect(await ask(socket)).toMatch(/served$/);
  const first = dial("127.0.0.2");
  expect(await ask(first)).toMatch(/served$/);
  expect(await ask(dial("127.0.0.2"))).toMatch(/served$/);
  await until(() => !isOpen(first));
  expect(ofProxy.map(isOpen)).toEqual([true, true, true]);
});

test("a thousand requests at once over one connection are not a thousand answers", async () => {
  await serve({});
  const socket = dial("127.0.0.2");
  socket.write("GET /slow HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000));
  await new Promise((resolve) => socket.once("close", resolve));
  expect(asked).toBe(LIMITS.pipelined);
  answer();
});
