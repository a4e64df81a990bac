/** The viewer's road on the real controller: code, cookie, ticket, WebSocket, and what is refused on it. */
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { LIMITS } from "../../src/http/limits.ts";
import type { StartResponse } from "../../src/contract/api.ts";
import { poll } from "../../src/lib/wait.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const ORIGIN = "https://viewer.test";
let controller: TestController;
let session: StartResponse;
let path: string;

const post = (call: string, body: unknown, cookie = ""): Promise<{ status: number; cookie: string; body: string }> =>
  new Promise((resolve, reject) => {
    const headers = { origin: ORIGIN, cookie, ...(body === undefined ? {} : { "content-type": "application/json" }) };
    const outgoing = request({ socketPath: controller.url.slice(5), method: "POST", path: `${path}/${call}`, headers });
    outgoing.on("error", reject).on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      response.on("end", () => {
        const [set = ""] = response.headers["set-cookie"] ?? [];
        resolve({ status: response.statusCode ?? 0, cookie: set.split(";")[0] ?? "", body: text });
      });
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });

const pair = async (): Promise<string> => (await post("pair", { pairingCode: session.pairingCode })).cookie;
const newTicket = async (cookie: string): Promise<string> =>
  (JSON.parse((await post("ticket", undefined, cookie)).body) as { ticket: string }).ticket;

const dial = (ticket: string | undefined, origin: string | undefined = ORIGIN): WebSocket =>
  new WebSocket(
    `ws+unix:${controller.url.slice(5)}:${path}/vnc`,
    ["binary", ...(ticket === undefined ? [] : [`sallyport.ticket.${ticket}`])],
    origin === "none" ? {} : { origin },
  );

/** The first bytes of the screen, or the HTTP status of the refusal. */
const greeting = (socket: WebSocket): Promise<string | number> =>
  new Promise((resolve, reject) => {
    socket.on("message", (data: Buffer) => resolve(data.toString("latin1")));
    socket.on("unexpected-response", (_request, response) => resolve(response.statusCode ?? 0));
    socket.on("error", reject);
  });

const closed = (socket: WebSocket): Promise<number> => new Promise((resolve) => socket.on("close", resolve));

beforeAll(async () => {
  controller = await startController();
  session = await controller.client.start({ provider: "oidc" });
  path = `/api/auth/session/${session.sessionId}`;
  for await (const view of controller.client.events(session.sessionId)) if (view.state === "ready") break;
});
afterAll(() => controller.dispose());

describe("the screen", () => {
  test("opens with code, cookie and ticket, makes the session active, and gives way to a reload of the same browser", async () => {
    const cookie = await pair();
    const first = dial(await newTicket(cookie));
    expect(await greeting(first)).toMatch(/^RFB 003/);
    expect(first.protocol).toBe("binary");
    expect(await controller.client.session(session.sessionId)).toMatchObject({ state: "active", hasViewer: true });

    const replaced = closed(first);
    const second = dial(await newTicket(cookie));
    expect(await greeting(second)).toMatch(/^RFB 003/);
    expect(await replaced).toBe(4000);
    expect((await controller.client.session(session.sessionId)).hasViewer).toBe(true);

    expect((await post("pair", { pairingCode: session.pairingCode })).status).toBe(409);
    const gone = closed(second);
    second.close();
    await gone;
    expect((await post("pair", { pairingCode: session.pairingCode })).status).toBe(204);
  });

  test("is not taken by an upgrade that is announced and not made", async () => {
    const ticket = await newTicket(await pair());
    const outgoing = request({
      socketPath: controller.url.slice(5),
      path: `${path}/vnc`,
      headers: {
        origin: ORIGIN,
        connection: "upgrade",
        upgrade: "websocket",
        // And no Sec-WebSocket-Key.
        "sec-websocket-version": "13",
        "sec-websocket-protocol": `binary, sallyport.ticket.${ticket}`,
      },
    });
    const status = new Promise((resolve) => {
      outgoing.on("response", (response) => resolve(response.resume().statusCode)).end();
    });
    expect(await status).toBe(400);
    const isFree = async () => !(await controller.client.session(session.sessionId)).hasViewer || undefined;
    await poll(isFree, { what: "the seat to be free", timeoutMs: 5000, intervalMs: 20 });
    expect((await post("pair", { pairingCode: session.pairingCode })).status).toBe(204);
  });

  test("takes no message of more than a megabyte", async () => {
    const socket = dial(await newTicket(await pair()));
    await greeting(socket);
    const ended = closed(socket);
    socket.send(Buffer.alloc(LIMITS.screenMessageBytes + 1));
    expect(await ended).toBe(1009);
  });

  test("is refused with a used ticket, a made-up one, none, and from another site", async () => {
    const cookie = await pair();
    const ticket = await newTicket(cookie);
    expect(await greeting(dial(ticket, "http://evil.test"))).toBe(403);
    expect(await greeting(dial(ticket, "none"))).toBe(403);
    expect(await greeting(dial(undefined))).toBe(401);
    const socket = dial(ticket);
    expect(await greeting(socket)).toMatch(/^RFB/);
    expect(await greeting(dial(ticket))).toBe(401);
    expect(await greeting(dial("A".repeat(43)))).toBe(401);
    const ended = closed(socket);
    await controller.client.destroy(session.sessionId);
    // Told by us, when the end begins: not by a guest that vanishes.
    expect(await ended).toBe(4000);
    expect((await post("ticket", undefined, cookie)).status).toBe(401);
  });
});
