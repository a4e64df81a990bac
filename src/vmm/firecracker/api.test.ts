import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startFakeApi, type FakeAnswer } from "../../../test/fixtures/fake-firecracker-api.ts";
import { vmPaths, type VmPaths } from "../../lib/paths.ts";
import { withApi } from "./api.ts";
import { inChroot } from "./chroot.ts";
import { START, STATE } from "./requests.ts";
import { askFirecracker } from "./start.ts";
import { withShortPath } from "../../lib/open-stream.ts";

let root: string;
let socket: string;
let paths: VmPaths;
let stop = (): void => {};

beforeEach(() => {
  root = mkdtempSync("/tmp/sp-api-");
  paths = vmPaths(join(root, "abc"), "/sallyport-1/abc");
  // Deeper than a socket's path may be long.
  const folder = join(root, "d".repeat(120));
  mkdirSync(folder);
  socket = join(folder, "api.sock");
});
afterEach(() => {
  stop();
  rmSync(root, { recursive: true });
});

const api = (timeoutMs = 5_000) => ({ socket, version: "1.12.1", timeoutMs });

const serve = async (answer: (request: string) => FakeAnswer) => {
  const served = await withShortPath(socket, (path) => startFakeApi(path, answer));
  stop = served.stop;
  return served;
};

test("sends one request after the other, each when the one before it was answered, and reads the answer", async () => {
  const { requests } = await serve((request) =>
    request === "GET /" ? { status: 200, body: `{"state":"Running"}`, delayMs: 30 } : { delayMs: 30 },
  );
  const answers = await withApi(api(), (send) => Promise.all([send(STATE), send(START), send(STATE), send(STATE)]));
  const running = { state: "Running" };
  expect(answers).toEqual([running, undefined, running, running]);
  expect(requests.map(({ request, inFlight }) => [request, inFlight])).toEqual([
    ["GET /", 1],
    ["PUT /actions", 1],
    ["GET /", 1],
    ["GET /", 1],
  ]);
});

test.each([
  ["its own words", `{"fault_message":"no\\u001b[2J\\n such file"}`, "Firecracker refused PUT /actions: no such file"],
  ["other words", "<html>", "Firecracker refused PUT /actions: HTTP status 400"],
  ["no words", `{"fault_message":" "}`, "Firecracker refused PUT /actions: HTTP status 400"],
  [
    "a secret",
    `{"fault_message":"no file https://idp.test/cb?code=4711 here"}`,
    "Firecracker refused PUT /actions: no file https://idp.test/cb?[cut] here",
  ],
  ["a flood", `{"fault_message":"${"x".repeat(10_000)}"}`, `Firecracker refused PUT /actions: ${"x".repeat(300)}`],
])("says what was refused with %s, on one line and bounded", async (_, body, message) => {
  await serve(() => ({ status: 400, body }));
  const refused = withApi(api(), (send) => send(START));
  await expect(refused).rejects.toMatchObject({ code: "vmm-refused", message });
});

test("has one time for all that is asked together", async () => {
  await serve(() => ({ delayMs: 300 }));
  const asked = withApi(api(500), async (send) => [await send(START), await send(START)]);
  await expect(asked).rejects.toMatchObject({ code: "vmm-silent" });
});

test.each([
  ["announcements", "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"],
  ["a header", "HTTP/1.1 200 OK\r\n", "x"],
  ["headers", "HTTP/1.1 200 OK\r\n", "x: y\r\n"],
  ["a body", "HTTP/1.1 200 OK\r\n\r\n", "x"],
  ["pieces", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\nx\r\n"],
  ["a piece's length", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "x=y;"],
  ["trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", "x: y\r\n"],
])("hears %s without end to a bound", async (_, begin, more = begin) => {
  const gone = Promise.withResolvers<number>();
  const block = more.repeat(Math.ceil(16_384 / more.length));
  const server = createServer((client) => {
    const flood = (): void => void (client.destroyed || client.write(block, flood));
    client.on("error", () => {}).on("close", () => gone.resolve(client.bytesWritten));
    client.once("data", () => client.write(begin, flood));
  });
  stop = () => server.close();
  await withShortPath(socket, (path) => once(server.listen(path), "listening"));
  const error: unknown = await withApi(api(), (send) => send(STATE)).catch((thrown: unknown) => thrown);
  // The client's own bounds may be met first.
  expect(error).toMatchObject({ code: expect.stringMatching(/^(vmm-floods|vmm-garbled)$/) });
  // What is written also lies in the kernel's buffers and the stream's.
  expect(await gone.promise).toBeLessThan(1024 * 1024);
});

test.each([
  ["hangs up", "", "vmm-hung-up", "Firecracker hung up before it answered PUT /actions."],
  [
    "hangs up in the middle",
    "HTTP/1.1 200 \r\nContent-Length: 9\r\n\r\n{",
    "vmm-hung-up",
    "hung up before it answered",
  ],
  ["speaks another language", "SSH-2.0-x\r\n", "vmm-garbled", "no answer of its API"],
  [
    "says headers without end",
    `HTTP/1.1 204 \r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
    "vmm-garbled",
    "no answer of its API",
  ],
])("a VMM that %s is told of in a sentence", async (_, bytes, code, words) => {
  const server = createServer((peer) => void peer.on("error", () => {}).once("data", () => peer.end(bytes)));
  stop = () => void server.close();
  await withShortPath(socket, (path) => new Promise<void>((resolve) => void server.listen(path, resolve)));
  const sent = withApi(api(), (send) => send(START));
  await expect(sent).rejects.toMatchObject({ name: "AppError", code, message: expect.stringContaining(words) });
});

test.each(["", "{}", "<html>"])("a VMM whose state is %j is told of in a sentence", async (body) => {
  mkdirSync(dirname(inChroot(paths, "apiSocket")), { recursive: true });
  const api = await withShortPath(inChroot(paths, "apiSocket"), (path) =>
    startFakeApi(path, () => ({ status: 200, body })),
  );
  stop = api.stop;
  await expect(askFirecracker(paths, 5_000)).rejects.toMatchObject({
    code: "vmm-garbled",
    message: expect.stringContaining("answered GET / with what is no answer of its API"),
    hint: expect.stringContaining("keep the evidence"),
  });
});

test("ends at once when it is told so", async () => {
  await serve(() => ({ delayMs: 5_000 }));
  const stopping = new AbortController();
  setTimeout(() => stopping.abort(new Error("enough")), 50);
  const ended = withApi({ ...api(), signal: stopping.signal }, (send) => send(START));
  await expect(ended).rejects.toThrow("enough");
});

test("sends nothing that this version would not know", async () => {
  const { requests } = await serve(() => ({}));
  const body = { rate_limiter: { size: 1, refill_time: 1 } };
  const sent = withApi({ ...api(), version: "1.15.1" }, (send) => send({ method: "PUT", path: "/serial", body }));
  await expect(sent).rejects.toThrow("PUT /serial rate_limiter is there since 1.16");
  expect(requests).toEqual([]);
});

test("says that nobody listens, and names the folder of the socket where that is missing", async () => {
  const asked = () => withApi(api(), (send) => send(STATE));
  await expect(asked()).rejects.toMatchObject({ code: "vmm-hung-up" });
  rmSync(join(socket, ".."), { recursive: true });
  await expect(asked()).rejects.toMatchObject({ code: "ENOENT" });
});
