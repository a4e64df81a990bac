/** The bounds on strangers where TCP has TLS: before, in and after the handshake, and on the socket beside it. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ensureCertificates } from "../../rig/certificates.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const HALF_A_HEAD = "GET /health HTTP/1.1\r\nhost:";
/** The framework answers it and lets go of the socket. */
const BROKEN_UPGRADE = "GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
let controller: TestController;
let directory: string;
let ca: string;
let port: number;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "sallyport-tls-"));
  const { server, serverKey, ...made } = await ensureCertificates({ directory, domain: "test", host: "sally.test" });
  ca = await readFile(made.ca, "utf8");
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  ({ port } = probe.address() as AddressInfo);
  await new Promise((resolve) => probe.close(resolve));
  controller = await startController({
    config: {
      listen: `127.0.0.1:${port}`,
      tls: { certificate: server, key: serverKey },
      publicUrl: "https://sally.test",
    },
    limits: { handshakeMs: 500, headMs: 500, lookMs: 50, connectionsPerAddress: 3 },
  });
});
afterAll(async () => {
  await controller.dispose();
  await rm(directory, { recursive: true });
});

const tcp = (localAddress: string): Socket => connect({ host: "127.0.0.1", port, localAddress });
const tls = (localAddress: string): Socket => connectTls({ socket: tcp(localAddress), ca, servername: "sally.test" });

const end = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.on("error", () => {}).on("close", () => resolve());
    socket.resume();
  });

const answerOver = (socket: Socket, path = "/health", lines = ""): Promise<string> =>
  new Promise((resolve) => {
    socket.on("error", () => {}).once("close", () => resolve("closed"));
    socket.once("data", (data) => resolve(data.toString("latin1").slice(0, 15)));
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${lines}\r\n`);
  });

test.each([
  ["a handshake that never comes", () => tcp("127.0.0.2"), ""],
  ["half a head over TLS", () => tls("127.0.0.2"), HALF_A_HEAD],
  ["half a head over the socket", () => connect(controller.url.slice("unix:".length)), HALF_A_HEAD],
  ["an upgrade of a broken path over TLS", () => tls("127.0.0.2"), BROKEN_UPGRADE],
  ["the same over the socket", () => connect(controller.url.slice("unix:".length)), BROKEN_UPGRADE],
])("%s is closed in time", async (_what, dial, text) => {
  const socket = dial();
  const ended = end(socket);
  if (text) socket.write(text);
  await ended;
});

test("an address has its share, in which who showed no key makes room; others and the socket are served", async () => {
  // One shows a key, one is served without, one waits in its handshake.
  const mine = [tls("127.0.0.3"), tls("127.0.0.3")] as const;
  const isGone = end(mine[1]);
  const key = `authorization: Bearer ${controller.adminKey}\r\n`;
  expect(await answerOver(mine[0], "/api/sessions", key)).toBe("HTTP/1.1 200 OK");
  expect(await answerOver(mine[1])).toBe("HTTP/1.1 200 OK");
  const silent = tcp("127.0.0.3");
  await new Promise((resolve) => silent.once("connect", resolve));
  expect(await answerOver(tls("127.0.0.3"))).toBe("HTTP/1.1 200 OK");
  await isGone;
  expect([mine[0].destroyed, silent.destroyed]).toEqual([false, false]);
  expect(await answerOver(tls("127.0.0.4"))).toBe("HTTP/1.1 200 OK");
  expect(await controller.client.sessions()).toEqual([]);
  for (const socket of [...mine, silent]) socket.destroy();
});
