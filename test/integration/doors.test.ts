/** What a stranger may do to the API: each call says who may make it, and a stranger costs little. Bytes on raw sockets. */
import { connect, type Socket } from "node:net";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { poll } from "../../src/lib/wait.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const ID = "ses_00000000000000000000000000";
let controller: TestController;
beforeAll(async () => {
  controller = await startController();
});
afterAll(() => controller.dispose());

interface Raw {
  socket: Socket;
  /** What came back so far. */
  text: string;
  isClosed: boolean;
}

const dial = (where = controller): Raw => {
  const socket = connect(where.url.slice("unix:".length)).setEncoding("latin1");
  const raw: Raw = { socket, text: "", isClosed: false };
  socket.on("data", (chunk: string) => (raw.text += chunk)).on("error", () => {});
  socket.on("close", () => (raw.isClosed = true));
  return raw;
};

const until = (isTrue: () => boolean, what: string): Promise<true> =>
  poll(async () => isTrue() || undefined, { what, timeoutMs: 15_000, intervalMs: 20 });

const head = (method: string, path: string, ...lines: string[]): string =>
  [`${method} ${path} HTTP/1.1`, "host: x", ...lines, "", ""].join("\r\n");

describe("every call says who may make it", () => {
  const { paths } = JSON.parse(readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8")) as {
    paths: Record<string, Record<string, unknown>>;
  };
  const calls = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const open = [
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /api/auth/session/{id}/novnc",
    "POST /api/auth/session/{id}/pair",
    "GET /api/auth/session/{id}/viewer",
  ];

  test("those that need neither key nor pairing are these", () => {
    expect(calls.filter((call) => open.includes(call)).toSorted()).toEqual(open.toSorted());
  });

  test.each(calls.filter((call) => !open.includes(call)))("%s is refused before its body is there", async (call) => {
    const [method = "", path = ""] = call.replace("{id}", ID).split(" ");
    const raw = dial();
    raw.socket.write(head(method, path, "content-type: application/json", "content-length: 1000") + "{");
    await until(() => raw.text.includes("\r\n\r\n"), "an answer");
    expect(raw.text).toMatch(/^HTTP\/1\.1 401 /);
    // And what else comes of the body is read by nobody.
    await until(() => raw.isClosed, "the end of the connection");
  });
});
