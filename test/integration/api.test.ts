/** Bad input and the states of a session, on the real controller with a fake machine. */
import { request, type IncomingMessage } from "node:http";
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRecipient } from "../../src/handover/sealing.ts";
import { openDatabase } from "../../src/state/db.ts";
import { startController, type TestController } from "../fixtures/controller.ts";
import { KINDS_OF_A_FAKE, kindsOf } from "../fixtures/receipt.ts";

const challenge = createHash("sha256").update("verifier").digest("base64url");
const authorizeUrl = (change: Record<string, string> = {}, base = "https://login.sallyport.test/auth") => {
  const url = new URL(base);
  const query = {
    response_type: "code",
    code_challenge: challenge,
    code_challenge_method: "S256",
    redirect_uri: "http://127.0.0.1:4321/callback",
    ...change,
  };
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  return url.href;
};

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Record<string, unknown>;
}

/** A raw call, so that what is sent and what comes back is what the wire carries. */
const call = (
  controller: TestController,
  method: string,
  path: string,
  options: { body?: unknown; key?: string | undefined; headers?: Record<string, string> } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const key = "key" in options ? options.key : controller.adminKey;
    const text = options.body === undefined ? undefined : JSON.stringify(options.body);
    const outgoing = request({
      socketPath: controller.url.slice("unix:".length),
      method,
      path,
      headers: {
        ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        ...(text === undefined ? {} : { "content-type": "application/json" }),
        ...options.headers,
      },
    });
    outgoing.on("error", reject).on("response", (response) => {
      read(response).then(resolve, reject);
    });
    outgoing.end(text);
  });

const read = async (response: IncomingMessage): Promise<Answer> => {
  let text = "";
  for await (const chunk of response) text += String(chunk);
  const isJson = /json/.test(response.headers["content-type"] ?? "");
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: isJson ? (JSON.parse(text) as Record<string, unknown>) : { text },
  };
};

const start = (controller: TestController, body: Record<string, unknown>, key?: string) =>
  call(controller, "POST", "/api/auth/start", { body, ...(key ? { key } : {}) });

const untilState = async (controller: TestController, id: unknown, state: string) => {
  for await (const view of controller.client.events(String(id))) if (view.state === state) return view;
  throw new Error(`the session never became ${state}`);
};

describe("the documents' call", () => {
  let controller: TestController;
  beforeAll(async () => {
    controller = await startController({ config: { session: { maxPerUser: 5 } } });
  });
  afterAll(() => controller.dispose());

  test("{userId, provider} and nothing more answers in the documents' shape, and /credentials says 409", async () => {
    const { status, body } = await start(controller, { userId: "ada", provider: "claude_code" });
    expect(status).toBe(200);
    expect(body).toMatchObject({ success: true, provider: "claude_code", userId: "ada" });
    expect(body.novncURL).toBe(`https://viewer.test/api/auth/session/${body.sessionId}/novnc`);
    expect(body.browserIP).toMatch(/^127\.\d+\.\d+\.\d+$/);
    expect(JSON.stringify(body.novncURL)).not.toContain(String(body.pairingCode));
    await untilState(controller, body.sessionId, "ready");
    const vm = { backend: "fake", accel: "emulation", why: "It is a fake." };
    expect(await controller.client.session(String(body.sessionId))).toMatchObject({ vm });
    expect(await controller.client.sessions()).toMatchObject([{ vm }]);
    expect(await call(controller, "GET", `/api/auth/session/${body.sessionId}/credentials`)).toMatchObject({
      status: 409,
      body: { code: "no-recipient-key" },
    });
    const receipt = await controller.client.destroy(String(body.sessionId));
    expect(kindsOf(receipt)).toEqual(KINDS_OF_A_FAKE);
    expect(await controller.network.found()).toEqual([]);
  });

  test("unknown provider 404, no or wrong key 401, unknown and malformed fields 400 by name", async () => {
    expect(await start(controller, { provider: "nobody" })).toMatchObject({
      status: 404,
      body: { code: "unknown-provider" },
    });
    expect(
      await call(controller, "POST", "/api/auth/start", { body: { provider: "oidc" }, key: undefined }),
    ).toMatchObject({
      status: 401,
      headers: { "www-authenticate": "Bearer" },
      body: { code: "no-key" },
    });
    expect(await start(controller, { provider: "oidc" }, "sally_wrong")).toMatchObject({
      status: 401,
      body: { code: "wrong-key" },
    });
    const unknown = await start(controller, { provider: "oidc", colour: "red" });
    expect(unknown).toMatchObject({
      status: 400,
      headers: { "content-type": "application/problem+json; charset=utf-8" },
    });
    expect(unknown.body.fields).toEqual(["colour: not a known field"]);
    const malformed = await start(controller, { provider: "oidc", recipientKey: "c2hvcnQ=" });
    expect(malformed.body.fields).toEqual(["recipientKey: must be 32 bytes, base64"]);
    expect((await call(controller, "POST", "/api/auth/start", { body: "text" })).status).toBe(400);
    expect(await call(controller, "GET", "/api/nothing?secret=1")).toMatchObject({
      status: 404,
      body: { code: "no-such-call" },
    });
  });

  test("a login key starts for itself only, sees its own sessions only, and may not operate", async () => {
    const ada = await controller.client.createKey({ userId: "ada", scopes: ["login"] });
    const bob = await controller.client.createKey({ userId: "bob", scopes: ["login"] });
    expect(await start(controller, { provider: "oidc", userId: "bob" }, ada.key)).toMatchObject({
      status: 403,
      body: { code: "foreign-user" },
    });
    const { body } = await start(controller, { provider: "oidc" }, ada.key);
    expect(body.userId).toBe("ada");
    for (const [method, path] of [
      ["GET", ""],
      ["GET", "/events"],
      ["GET", "/credentials"],
      ["GET", "/console"],
      ["GET", "/evidence"],
      ["GET", "/receipt"],
      ["DELETE", ""],
    ] as const) {
      expect(
        (await call(controller, method, `/api/auth/session/${body.sessionId}${path}`, { key: bob.key })).status,
        `${method} ${path}`,
      ).toBe(404);
    }
    for (const [method, path] of [
      ["GET", "/api/images"],
      ["GET", "/api/warm"],
      ["POST", "/api/warm"],
      ["GET", "/api/vms"],
      ["POST", "/api/reap"],
      ["DELETE", "/api/network"],
      ["GET", "/api/keys"],
      ["POST", "/api/keys"],
      ["DELETE", `/api/keys/${bob.id}`],
    ] as const) {
      const answer = await call(controller, method, path, { key: ada.key, ...(method === "POST" ? { body: {} } : {}) });
      expect(answer, `${method} ${path}`).toMatchObject({ status: 403, body: { code: "missing-scope" } });
    }
    await controller.client.revokeKey(ada.id);
    expect((await start(controller, { provider: "oidc" }, ada.key)).status).toBe(401);
    await controller.client.destroy(String(body.sessionId));
  });

  test("an act-as key starts for its users and sees what it started, not what others did", async () => {
    const frontEnd = await controller.client.createKey({ userId: "front-end", scopes: ["act-as"] });
    const theirs = await start(controller, { provider: "oidc", userId: "carol" }, frontEnd.key);
    expect(
      (await call(controller, "GET", `/api/auth/session/${theirs.body.sessionId}`, { key: frontEnd.key })).status,
    ).toBe(200);
    const listed = await call(controller, "GET", "/api/sessions", { key: frontEnd.key });
    expect((listed.body as unknown as { sessionId: string }[]).map((view) => view.sessionId)).toEqual([
      theirs.body.sessionId,
    ]);
    const other = await start(controller, { provider: "oidc", userId: "carol" });
    expect(
      (await call(controller, "GET", `/api/auth/session/${other.body.sessionId}`, { key: frontEnd.key })).status,
    ).toBe(404);
    await controller.client.destroy(String(theirs.body.sessionId));
    await controller.client.destroy(String(other.body.sessionId));
  });

  test("a URL that must not be opened is 422 and reaches no guest", async () => {
    const recipient = await createRecipient();
    const { body } = await start(controller, { provider: "oidc", recipientKey: recipient.publicKey });
    const open = (url: string, callback: unknown = { port: 4321, path: "/callback" }) =>
      call(controller, "POST", `/api/auth/session/${body.sessionId}/open`, { body: { url, callback } });
    expect((await open(authorizeUrl())).body.code).toBe("not-ready");
    await untilState(controller, body.sessionId, "ready");
    const refused = [
      [authorizeUrl({}, "http://login.sallyport.test/auth"), "url-not-https"],
      [authorizeUrl({}, "https://elsewhere.test/auth"), "url-host-not-listed"],
      [authorizeUrl({ code_challenge_method: "plain" }), "url-no-pkce"],
      [authorizeUrl({ redirect_uri: "http://127.0.0.1:80/callback" }), "url-redirect-mismatch"],
      [authorizeUrl({ redirect_uri: "https://evil.test:4321/callback" }), "url-redirect-mismatch"],
      [authorizeUrl({ redirect_uri: "http://127.0.0.1:4322/callback" }), "url-redirect-mismatch"],
    ] as const;
    for (const [url, code] of refused) expect(await open(url), url).toMatchObject({ status: 422, body: { code } });
    expect((await controller.client.session(String(body.sessionId))).state).toBe("ready");
    expect((await open(authorizeUrl())).status).toBe(204);
    expect(await open(authorizeUrl())).toMatchObject({ status: 409, body: { code: "already-opened" } });
    await controller.client.destroy(String(body.sessionId));
    expect(await open(authorizeUrl())).toMatchObject({ status: 410, body: { code: "session-over" } });
  });

  test("pairing: wrong 403, locked 429; foreign origin 403; a ticket is asked for", async () => {
    const { body } = await start(controller, { provider: "oidc" });
    const path = `/api/auth/session/${body.sessionId}`;
    const pair = (pairingCode: unknown, headers = {}) =>
      call(controller, "POST", `${path}/pair`, { body: { pairingCode }, key: undefined, headers });
    expect(await pair(body.pairingCode, { origin: "http://evil.test" })).toMatchObject({
      status: 403,
      body: { code: "foreign-origin" },
    });
    const good = await pair(body.pairingCode, { origin: "https://viewer.test" });
    expect(good.status).toBe(204);
    const cookie = String(good.headers["set-cookie"]);
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    expect(await call(controller, "GET", `${path}/viewer`, { key: undefined })).toMatchObject({
      status: 401,
      body: { code: "not-paired" },
    });
    expect(
      (await call(controller, "GET", `${path}/viewer`, { key: undefined, headers: { cookie } })).body,
    ).toMatchObject({ paired: true });
    for (let i = 0; i < 4; i++) expect((await pair("AAAA-AAAA")).status).toBe(403);
    expect((await pair("AAAA-AAAA")).status).toBe(429);
    expect((await controller.client.session(String(body.sessionId))).wrongPairingCodes).toBe(5);
    expect(await pair(body.pairingCode)).toMatchObject({ status: 429, body: { code: "pairing-locked" } });
    expect((await call(controller, "DELETE", path, { key: undefined, headers: { cookie } })).status).toBe(403);
    await controller.client.destroy(String(body.sessionId));
    expect((await pair(body.pairingCode)).status).toBe(410);
  });

  test("a session id that never was, with anything in it, is 404 or 400 and names no file", async () => {
    for (const id of ["ses_00000000000000000000000000", "..%2f..%2fadmin.key", "%00"]) {
      expect([400, 404]).toContain((await call(controller, "GET", `/api/auth/session/${id}/console`)).status);
    }
  });

  test("liveness, metrics, OpenAPI 3.1 with every call", async () => {
    expect((await call(controller, "GET", "/health", { key: undefined })).body).toEqual({ status: "ok" });
    await untilLeaks(controller, "0");
    const openapi = (await call(controller, "GET", "/openapi.json")).body as {
      openapi: string;
      paths: Record<string, unknown>;
    };
    expect(openapi.openapi).toBe("3.1.0");
    await expect(`${JSON.stringify(openapi, undefined, 2)}\n`).toMatchFileSnapshot("../../docs/openapi.json");
    expect(Object.keys(openapi.paths)).toContain("/api/auth/session/{id}/credentials");
  });
});

describe("limits", () => {
  test("no image is 503 with the command that builds one", async () => {
    const controller = await startController({ hasImage: false });
    const { status, body } = await start(controller, { provider: "oidc" });
    expect(status).toBe(503);
    expect(body).toMatchObject({ code: "no-image", hint: "Build it: sallyport image build --name default" });
    expect((await call(controller, "GET", "/ready")).status).toBe(503);
    await controller.dispose();
  });

  test("an exhausted pool is 503 with Retry-After, a user's limit 429, and nothing is left of the refused", async () => {
    const controller = await startController({ config: { session: { maxPerUser: 2 } } });
    for (const user of ["a", "a", "b", "b", "c"])
      expect((await start(controller, { provider: "oidc", userId: user })).status).toBe(200);
    expect(await start(controller, { provider: "oidc", userId: "a" })).toMatchObject({
      status: 429,
      body: { code: "too-many-sessions" },
    });
    const refused = await start(controller, { provider: "oidc", userId: "d" });
    expect(refused).toMatchObject({ status: 503, headers: { "retry-after": "30" }, body: { code: "pool-exhausted" } });
    expect((await controller.client.sessions()).filter((session) => session.userId === "d")).toEqual([]);
    await controller.dispose();
  });
});

describe("things at once", () => {
  test("five starts of one user with room for two: two pass", async () => {
    const controller = await startController({ config: { session: { maxPerUser: 2 } } });
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => start(controller, { provider: "oidc", userId: "a" })));
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 429, 429, 429]);
    await controller.dispose();
  });

  test("a reaper that looks around while microVMs are starting takes nothing of theirs", async () => {
    const controller = await startController({ config: { session: { maxPerUser: 5 } } });
    const found = controller.network.found.bind(controller.network);
    controller.network.found = async () => {
      await sleep(100);
      return found();
    };
    const reaping = Promise.all(
      [0, 30, 60, 90].map(async (ms) => {
        await sleep(ms);
        return controller.client.reap({ dryRun: false });
      }),
    );
    const sessions = await Promise.all([1, 2, 3].map(() => start(controller, { provider: "oidc" })));
    expect((await reaping).flatMap(({ removed }) => removed)).toEqual([]);
    for (const { body } of sessions) await untilState(controller, body.sessionId, "ready");
    await controller.dispose();
  });

  test("what is left of a guest that no session has goes by kind, and nothing of one that has", async () => {
    const controller = await startController();
    const { body } = await start(controller, { provider: "oidc" });
    await untilState(controller, body.sessionId, "ready");
    const held = await controller.network.found();
    const { host } = controller.network;
    host.taps.set("sp-000000000000", { bridge: null, mac: null });
    host.admitted.set("192.0.2.9", "06:00:c0:00:02:09");
    host.neighbours.set("192.0.2.9", "06:00:c0:00:02:09");
    const left = ["TAP sp-000000000000", "firewall entry 192.0.2.9", "neighbour entry 06:00:c0:00:02:09"];
    expect(await controller.client.reap({ dryRun: true })).toEqual({ found: left, removed: [], failed: [] });
    expect(await controller.client.reap({ dryRun: false })).toEqual({ found: left, removed: left, failed: [] });
    expect(await controller.network.found()).toEqual(held);
    await controller.dispose();
  });
});

test("event streams are bounded: one too many is refused, not left hanging", async () => {
  const controller = await startController();
  const { body } = await start(controller, { provider: "oidc" });
  const path = `/api/auth/session/${body.sessionId}/events`;
  const open = () =>
    new Promise<{ status: number; end: () => void }>((resolve, reject) => {
      const socketPath = controller.url.slice("unix:".length);
      const outgoing = request({ socketPath, path, headers: { authorization: `Bearer ${controller.adminKey}` } });
      outgoing.on("error", reject).end();
      outgoing.on("response", (response) => {
        response.resume().on("error", () => {});
        resolve({ status: response.statusCode ?? 0, end: () => response.destroy() });
      });
    });
  const streams = await Promise.all(Array.from({ length: 33 }, open));
  expect(streams.map(({ status }) => status).filter((status) => status === 429)).toHaveLength(1);
  for (const { end } of streams) end();
  await controller.dispose();
});

describe("failures", () => {
  const failure = async (behaviour: Parameters<typeof startController>[0] & object) => {
    const controller = await startController({ config: { session: { unreachableSec: 5 } }, ...behaviour });
    const { body } = await start(controller, { provider: "oidc" });
    let view;
    for await (const next of controller.client.events(String(body.sessionId))) view = next;
    const receipt = await controller.client.receipt(String(body.sessionId));
    const console_ = await controller.client.console(String(body.sessionId));
    const held = await controller.client.vms();
    await controller.dispose();
    return { view, receipt, console: console_, held, log: controller.log() };
  };

  test("a VMM that dies at start: its own words are in the verdict, nothing is left", async () => {
    const { view, receipt, held } = await failure({ behaviour: () => ({ vmm: "dies-at-start" }) });
    expect(view).toMatchObject({ state: "failed", verdict: { code: "vmm-failed", stage: "vmm-up" } });
    expect(view?.verdict?.evidence).toContain("VMM log: fake-vmm: could not open the rootfs");
    expect(receipt.body.outcome).toBe("failed");
    expect(held).toEqual([]);
  });

  test("a guest that reboots while it is watched fails clearly, with its console kept", async () => {
    const { view, console: text } = await failure({
      behaviour: () => ({ endsAfterMs: 1000, console: "the last words\n" }),
    });
    expect(view).toMatchObject({ state: "failed", verdict: { code: "guest-rebooted" } });
    expect(view?.verdict?.evidence).toContain("console: the last words");
    expect(text).toBe("the last words\n");
  });

  test("a guest without its address is named so, by its own word over the channel", async () => {
    const { view } = await failure({ behaviour: () => ({ hasNoAddress: true }) });
    expect(view?.verdict).toMatchObject({ code: "guest-without-address", stage: "addressed" });
  });

  test("a guest that nobody reaches over the network is named so", async () => {
    const { view, log } = await failure({ behaviour: () => ({ hasNoHealth: true }) });
    expect(log).toMatch(/"stage":"reachable","seen":"ECONNREFUSED"/);
    expect(view?.verdict).toMatchObject({ code: "guest-unreachable", stage: "reachable" });
    expect(view?.verdict?.evidence.join("\n")).toMatch(/ECONNREFUSED/);
  });
});

describe("a restart", () => {
  test("a session whose time runs out ends by itself, by the time that was promised at its start", async () => {
    const first = await startController();
    const { body } = await start(first, { provider: "oidc" });
    expect(Date.parse(String(body.expiresAt)) - Date.now()).toBeGreaterThan(800_000);
    await untilState(first, body.sessionId, "ready");
    const left = await first.abandon();
    const db = await openDatabase(first.paths.database);
    await db
      .updateTable("sessions")
      .set({ expiresAt: new Date(Date.now() + 1500).toISOString() })
      .execute();
    await db.destroy();
    const second = await startController(left);
    expect((await second.client.session(String(body.sessionId))).state).toBe("ready");
    await untilState(second, body.sessionId, "destroyed");
    expect((await second.client.session(String(body.sessionId))).outcome).toBe("expired");
    expect(await second.client.vms()).toEqual([]);
    await second.dispose();
  });

  test("a controller that stops leaves the microVM running; the next one adopts it and it can be signed in", async () => {
    const first = await startController();
    const { body } = await start(first, { provider: "oidc" });
    await untilState(first, body.sessionId, "ready");
    const { hostId } = await first.client.session(String(body.sessionId));
    const second = await first.restart();
    expect((await second.client.session(String(body.sessionId))).state).toBe("ready");
    expect(await second.client.vms()).toHaveLength(1);
    await untilLeaks(second, "0");
    const receipt = await second.client.destroy(String(body.sessionId));
    expect(receipt.body.outcome).toBe("destroyed-by-request");
    expect(hostId).toMatch(/^hst_/);
    expect(receipt.body.hostId).toBe(hostId);
    expect(await second.client.vms()).toEqual([]);
    await second.dispose();
  });

  test("it listens before it tidies: a host that is slow to look at keeps nobody waiting", async () => {
    const first = await startController();
    const { body } = await start(first, { provider: "oidc" });
    await untilState(first, body.sessionId, "ready");
    const { dataDir, network } = await first.abandon();
    const slow = Promise.withResolvers<void>();
    const second = await startController({ dataDir, network: { ...network, ensure: () => slow.promise } });
    expect((await second.client.session(String(body.sessionId))).state).toBe("ready");
    expect((await call(second, "GET", "/metrics", { key: undefined })).body.text).toMatch(/leaked_resources Nan/i);
    slow.resolve();
    await untilLeaks(second, "0");
    await second.dispose();
  });
});

/** Nobody looks for a question's sake: the gauge follows the chores. */
const untilLeaks = async (on: TestController, count: string): Promise<void> => {
  await expect
    .poll(async () => (await call(on, "GET", "/metrics", { key: undefined })).body.text, { timeout: 10_000 })
    .toContain(`sallyport_leaked_resources ${count}\n`);
};
