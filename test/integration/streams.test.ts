/** The API's long answers on the real controller: readers that stall, and keys that are revoked meanwhile. */
import { appendFile } from "node:fs/promises";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startController, type TestController } from "../fixtures/controller.ts";

let controller: TestController;
beforeAll(async () => {
  controller = await startController({
    behaviour: () => ({ console: "first words\n" }),
    config: { session: { maxPerUser: 5 } },
    // So quick a heartbeat fills what a socket holds in no time.
    limits: { heartbeatMs: 1, silentMs: 2000 },
  });
});
afterAll(() => controller.dispose());

const startReady = async (): Promise<{ path: string; sessionId: string; console: string }> => {
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const view of controller.client.events(sessionId)) {
    if (view.state !== "ready") continue;
    return {
      sessionId,
      path: `/api/auth/session/${sessionId}`,
      console: controller.paths.vm(view.vmId ?? "").console,
    };
  }
  throw new Error("the session never became ready");
};

test("readers who never read are outlived, and so is the end of their session", async () => {
  const session = await startReady();
  const deaf = ["/events", "/console?follow=true"].map((call) => {
    const socket = connect(controller.url.slice("unix:".length)).pause();
    const head = `host: x\r\nconnection: close\r\nauthorization: Bearer ${controller.adminKey}`;
    socket.on("error", () => {}).write(`GET ${session.path}${call} HTTP/1.1\r\n${head}\r\n\r\n`);
    return socket;
  });
  for (let i = 0; i < 16; i++) {
    await appendFile(session.console, `${"x".repeat(1023)}\n`.repeat(512));
    await sleep(20);
  }
  await controller.client.destroy(session.sessionId);
  // Many heartbeats after the end.
  await sleep(200);
  expect((await controller.client.sessions())[0]?.hasReceipt).toBe(true);
  const closed = Promise.all(deaf.map((socket) => once(socket, "close")));
  for (const socket of deaf) socket.resume();
  await closed;
});

test("a reader who takes nothing for long is cut off, while the session goes on", async () => {
  const session = await startReady();
  await appendFile(session.console, `${"x".repeat(1023)}\n`.repeat(900));
  const socket = connect(controller.url.slice("unix:".length)).pause();
  const head = `host: x\r\nauthorization: Bearer ${controller.adminKey}`;
  socket.on("error", () => {}).write(`GET ${session.path}/console?follow=true HTTP/1.1\r\n${head}\r\n\r\n`);
  // Only who reads would see the end; twice the time that was given.
  await sleep(4500);
  await once(socket.resume(), "close");
  expect((await controller.client.session(session.sessionId)).state).toBe("ready");
});

describe("when a key is revoked", () => {
  test.each(["/events", "/console?follow=true"])("%s of its ends, others go on", async (call) => {
    const { path, sessionId } = await startReady();
    const guest = await controller.client.createKey({ userId: "admin", scopes: ["login"] });
    const open = async (key: string): Promise<IncomingMessage> => {
      const socketPath = controller.url.slice("unix:".length);
      const outgoing = request({ socketPath, path: path + call, headers: { authorization: `Bearer ${key}` } }).end();
      const [response] = (await once(outgoing, "response")) as [IncomingMessage];
      return response.on("error", () => {}).resume();
    };
    const theirs = await open(guest.key);
    const ours = await open(controller.adminKey);
    const broken = new Promise((resolve) => theirs.on("close", resolve));
    await controller.client.revokeKey(guest.id);
    await broken;
    expect(ours.closed).toBe(false);
    const ended = once(ours, "end");
    await controller.client.destroy(sessionId);
    await ended;
  });
});
