/** What a stranger may do to the API: each call says who may make it, and a stranger costs little. Bytes on raw sockets. */
import { connect, type Socket } from "node:net";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LIMITS } from "../../src/http/limits.ts";
import { poll } from "../../src/lib/wait.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const ID = "ses_00000000000000000000000000";
/** Apart, so that no bound is kept by another's. */
let controller: TestController;
let quick: TestController;
let patient: TestController;
beforeAll(async () => {
  controller = await startController({ limits: { headMs: 300, requestMs: 600_000, lookMs: 50 } });
  patient = await startController({ limits: { headMs: 300_000, requestMs: 300_000 } });
  quick = await startController({ limits: { headMs: 600, requestMs: 600, lookMs: 50, idleMs: 300 } });
});
afterAll(() => Promise.all([controller.dispose(), patient.dispose(), quick.dispose()]));

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

/** The status of the first answer. */
const statusOf = async (raw: Raw): Promise<number> => {
  await until(() => raw.text.includes("\r\n\r\n"), "an answer");
  return Number(/^HTTP\/1\.1 (\d+)/.exec(raw.text)?.[1]);
};

const until = (isTrue: () => boolean, what: string): Promise<true> =>
  poll(async () => isTrue() || undefined, { what, timeoutMs: 15_000, intervalMs: 20 });

const UPGRADE = "connection: Upgrade\r\nupgrade: websocket\r\n";

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
    expect(await statusOf(raw)).toBe(401);
    // And what else comes of the body is read by nobody.
    await until(() => raw.isClosed, "the end of the connection");
  });
});

describe("what is never finished is closed in time", () => {
  const post = (path: string, where: TestController): string =>
    head(
      "POST",
      path,
      `authorization: Bearer ${where.adminKey}`,
      "content-type: application/json",
      "content-length: 9",
    ) + "{";

  test.each([
    ["nothing at all", () => controller, ""],
    ["half a head", () => controller, "POST /api/auth/start HTTP/1.1\r\nhost:"],
    ["half a body of a call without a key", () => quick, `/api/auth/session/${ID}/pair`],
    ["half a body of a call with one", () => quick, "/api/auth/start"],
    ["a finished request, and then no other", () => quick, head("GET", "/health")],
  ])("%s", async (_what, where, text) => {
    const raw = dial(where());
    raw.socket.write(text.startsWith("/") ? post(text, where()) : text);
    await until(() => raw.isClosed, "the end of the connection");
    expect(raw.text).toMatch(/^$|^HTTP\/1\.1 (408|200)/);
  });

  test("and meanwhile others are served", async () => {
    const unfinished = Array.from({ length: 50 }, () => dial(quick));
    for (const { socket } of unfinished) socket.write(post("/api/auth/start", quick));
    expect(await quick.client.sessions()).toEqual([]);
    await until(() => unfinished.every(({ isClosed }) => isClosed), "all of them to be closed");
  });
});

describe("what cannot be right is refused under its own number, as a problem document", () => {
  const post = (path: string, type: string, body: string): string =>
    head(
      "POST",
      path,
      `authorization: Bearer ${controller.adminKey}`,
      `content-type: ${type}`,
      `content-length: ${body.length}`,
    ) + body;
  const json = "application/json";
  const start = "/api/auth/start";

  const refusals: [string, number, string, () => string][] = [
    ["a body that is too large", 413, "body-too-large", () => post(start, json, `{"a":"${"x".repeat(4096)}"}`)],
    ["an id that is too long", 414, "path-too-long", () => head("GET", `/api/auth/session/${"x".repeat(65)}/novnc`)],
    ["a body that is no JSON", 415, "not-json", () => post(start, "text/plain", "{}")],
    ["a form of another site", 415, "not-json", () => post(start, "application/x-www-form-urlencoded", "a=1")],
    ["broken JSON", 400, "invalid-json", () => post(start, json, "{")],
    ["JSON with a prototype", 400, "invalid-json", () => post(start, json, '{"__proto__":{}}')],
    ["an empty body", 400, "empty-body", () => post(start, json, "")],
    ["a path that is none", 400, "bad-path", () => head("GET", "/api/%zz?ticket=secret")],
    ["an id that is none", 400, "invalid-request", () => head("GET", "/api/auth/session/..%2f..%2fadmin.key/novnc")],
    ["a call that is none", 404, "no-such-call", () => head("GET", "/api/none?ticket=secret")],
    ["a HEAD", 404, "no-such-call", () => head("HEAD", `/api/sessions`)],
    [
      "a WebSocket where there is none",
      400,
      "no-websocket",
      () => head("GET", "/health", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"),
    ],
  ];

  test.each(refusals)("%s is %i", async (what, status, code, text) => {
    const raw = dial();
    raw.socket.write(text());
    expect(await statusOf(raw)).toBe(status);
    expect(raw.text).toMatch(/content-type: application\/problem\+json/i);
    await until(() => what === "a HEAD" || raw.text.endsWith("}"), "the whole answer");
    if (what !== "a HEAD") expect(JSON.parse(raw.text.split("\r\n\r\n")[1] ?? "")).toMatchObject({ status, code });
    expect(raw.text).not.toContain("secret");
    raw.socket.destroy();
  });

  test.each(refusals)("%s, as an upgrade, ends with its connection closed", async (_what, _status, _code, text) => {
    const raw = dial();
    raw.socket.write(text().replace("host: x\r\n", `host: x\r\n${UPGRADE}`));
    await until(() => raw.isClosed, "the end of the connection");
    expect(raw.text).not.toMatch(/^HTTP\/1\.1 101/);
  });
});

test("whoever fills the socket with idle connections keeps nobody with a key out", async () => {
  const idle = Array.from({ length: LIMITS.socketConnections + 50 }, () => dial(patient));
  await until(() => idle.some(({ isClosed }) => isClosed), "the first of them to make room");
  expect(await patient.client.sessions()).toEqual([]);
  await until(() => idle.filter(({ isClosed }) => isClosed).length > 50, "room made for the key");
  for (const { socket } of idle) socket.destroy();
});

test("no address that is asked for is logged", async () => {
  const raw = dial();
  raw.socket.write(head("GET", `/api/auth/session/${ID}/viewer?ticket=secret`) + head("GET", "/api/secret"));
  await until(() => raw.text.includes("no-such-call"), "two answers");
  raw.socket.destroy();
  expect(controller.log()).toContain("listening");
  expect(controller.log()).not.toMatch(/secret|session\/ses_/);
});
