/** What whoever answers as a controller must answer: status, code and shape of each call of a sign-in. Run against the real and the fake one. */
import { createHash } from "node:crypto";
import { request } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createClient, type Client } from "../../src/client/client.ts";
import { credentialsResponse, problem, sessionView, startResponse } from "../../src/contract/api.ts";
import { receipt as receiptShape, type SessionState } from "../../src/contract/session.ts";
import { verifyReceipt } from "../../src/handover/receipt.ts";
import { createRecipient, keyThumbprint } from "../../src/handover/sealing.ts";

/** Its provider `oidc` signs in at ISSUER, and CAUGHT comes back once something was opened. */
export interface ControllerUnderTest {
  /** `unix:/path` */
  url: string;
  key: string;
  publicUrl: string;
  close: () => Promise<void>;
}

export const ISSUER = "https://login.sallyport.test";
export const CAUGHT = { method: "GET", target: "/callback?code=x", rawHeaders: ["Host", "127.0.0.1:4321"], body: "" };

const callback = { port: 4321, path: "/callback" };
const authorizeUrl = (origin: string): string => {
  const url = new URL("/auth", origin);
  const challenge = createHash("sha256").update("verifier").digest("base64url");
  url.search = String(
    new URLSearchParams({
      response_type: "code",
      code_challenge: challenge,
      code_challenge_method: "S256",
      redirect_uri: "http://127.0.0.1:4321/callback",
    }),
  );
  return url.href;
};

interface Answer {
  status: number;
  type: string | undefined;
  text: string;
  header: (name: string) => string | undefined;
}

export const httpConformance = (name: string, prepare: () => Promise<ControllerUnderTest>): void => {
  describe(`HTTP API of ${name}`, () => {
    let under: ControllerUnderTest;
    let client: Client;
    beforeAll(async () => {
      under = await prepare();
      client = createClient({ url: under.url, key: under.key });
    });
    afterAll(async () => {
      await client.close();
      await under.close();
    });

    const call = (method: string, path: string, body?: unknown, key: string | null = under.key): Promise<Answer> =>
      new Promise((resolve, reject) => {
        const headers = {
          ...(key === null ? {} : { authorization: `Bearer ${key}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        };
        const outgoing = request({ socketPath: under.url.slice("unix:".length), method, path, headers });
        outgoing.on("error", reject).on("response", (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
          response.on("end", () => {
            const header = (one: string): string | undefined => response.headers[one]?.toString();
            resolve({ status: response.statusCode ?? 0, type: header("content-type"), text, header });
          });
        });
        outgoing.end(body === undefined ? undefined : JSON.stringify(body));
      });

    const refused = (answer: Answer, status: number, code: string) => {
      expect([answer.status, answer.type]).toEqual([status, "application/problem+json; charset=utf-8"]);
      const said = problem.parse(JSON.parse(answer.text));
      expect(said).toMatchObject({ status, code, type: `urn:sallyport:problem:${code}` });
      return said;
    };

    const json = (answer: Answer, status: number): unknown => {
      expect([answer.status, answer.type]).toEqual([status, "application/json; charset=utf-8"]);
      return JSON.parse(answer.text);
    };

    const done = (answer: Answer): void => expect([answer.status, answer.text]).toEqual([204, ""]);

    const until = async (id: string, isReached: (view: { state: SessionState; credential: string }) => boolean) => {
      for await (const view of client.events(id)) if (isReached(view)) return view;
      throw new Error("the session ended first");
    };

    const session = (id: string, what = ""): string => `/api/auth/session/${id}${what}`;
    const NO_SESSION = "ses_00000000000000000000000000";
    const CALLS: [string, string, unknown?][] = [
      ["GET", ""],
      ["DELETE", ""],
      ["GET", "/events"],
      ["GET", "/credentials"],
      ["GET", "/receipt"],
      ["POST", "/open", { url: authorizeUrl(ISSUER), callback }],
      ["POST", "/answer", { sealedAnswer: "AAAA" }],
    ];

    test("without a key 401 no-key, with another 401 wrong-key, for each call", async () => {
      const calls = CALLS.map(([method, what, body]) => [method, session(NO_SESSION, what), body] as const);
      const others = [["POST", "/api/auth/start", { provider: "oidc" }] as const, ["GET", "/api/providers"] as const];
      for (const [method, path, body] of [...calls, ...others]) {
        const without = await call(method, path, body, null);
        // Without a key it is the paired browser that ends a session.
        refused(without, 401, method === "DELETE" ? "not-paired" : "no-key");
        expect(without.header("www-authenticate")).toBe("Bearer");
        refused(await call(method, path, body, "sally_other"), 401, "wrong-key");
      }
    });

    test("what is not there: 404 no-such-call without the query, 404 no-session, 404 unknown-provider", async () => {
      const said = refused(await call("GET", "/api/nothing?secret=1"), 404, "no-such-call");
      expect(JSON.stringify(said)).not.toContain("secret");
      refused(await call("PUT", session(NO_SESSION)), 404, "no-such-call");
      for (const [method, what, body] of CALLS) {
        refused(await call(method, session(NO_SESSION, what), body), 404, "no-session");
      }
      refused(await call("POST", "/api/auth/start", { provider: "nobody" }), 404, "unknown-provider");
    });

    test("a request of another shape: 400 invalid-request with its fields", async () => {
      const wrong = async (body: unknown): Promise<string[] | undefined> =>
        refused(await call("POST", "/api/auth/start", body), 400, "invalid-request").fields;
      expect(await wrong({ provider: "oidc", colour: "red" })).toEqual(["colour: not a known field"]);
      expect(await wrong({ provider: "oidc", recipientKey: "c2hvcnQ=" })).toEqual([
        "recipientKey: must be 32 bytes, base64",
      ]);
    });

    test("a whole sign-in", async () => {
      const recipient = await createRecipient();
      const wish = { provider: "oidc", recipientKey: recipient.publicKey };
      const started = startResponse.strict().parse(json(await call("POST", "/api/auth/start", wish), 200));
      const { sessionId: id, userId, expiresAt } = started;
      const self = under.publicUrl + session(id);
      expect(started.novncURL).toBe(`${self}/novnc`);
      expect(started.links).toEqual({
        self,
        events: `${self}/events`,
        novnc: `${self}/novnc`,
        credentials: `${self}/credentials`,
        receipt: `${self}/receipt`,
      });
      await until(id, ({ state }) => state === "ready" || state === "active");
      const view = sessionView.strict().parse(json(await call("GET", session(id)), 200));
      expect(view).toMatchObject({ sessionId: id, userId, expiresAt, credential: "awaited", hasReceipt: false });

      const open = (url: string) => call("POST", session(id, "/open"), { url, callback });
      const answer = (sealedAnswer: string) => call("POST", session(id, "/answer"), { sealedAnswer });
      const credentials = () => call("GET", session(id, "/credentials"));
      expect(json(await credentials(), 202)).toEqual({ state: view.state });
      refused(await answer("AAAA"), 409, "nothing-to-answer");
      refused(await call("GET", session(id, "/receipt")), 409, "no-receipt-yet");
      refused(await call("POST", session(id, "/open"), { url: 1 }), 400, "invalid-request");
      refused(await open(authorizeUrl("https://elsewhere.test")), 422, "url-host-not-listed");
      done(await open(authorizeUrl(ISSUER)));
      refused(await open(authorizeUrl(ISSUER)), 409, "already-opened");

      await until(id, ({ credential }) => credential === "waiting");
      const { sealed } = credentialsResponse.strict().parse(json(await credentials(), 200));
      expect(json(await credentials(), 200)).toEqual({ sealed });
      expect(await client.session(id)).toMatchObject({ credential: "taken" });
      const bound = { sessionId: id, provider: "oidc", userId, expiresAt };
      const box = await recipient.open(sealed, { ...bound, keyThumbprint: keyThumbprint(recipient.publicKey) });
      expect(JSON.parse(Buffer.from(box.plaintext).toString())).toEqual(CAUGHT);
      const reply = { status: 200, headers: [], body: Buffer.from("<p>Done</p>").toString("base64") };
      done(await answer(await box.sealAnswer(Buffer.from(JSON.stringify(reply)))));
      refused(await credentials(), 410, "credential-taken");

      const receipt = receiptShape.parse(json(await call("DELETE", session(id)), 200));
      expect(verifyReceipt(receipt)).toBe(true);
      expect(receipt.body).toMatchObject({ sessionId: id, provider: "oidc", userId });
      expect(json(await call("GET", session(id, "/receipt")), 200)).toEqual(receipt);
      expect(json(await call("DELETE", session(id)), 200)).toEqual(receipt);
      expect(await client.session(id)).toMatchObject({ state: "destroyed", hasReceipt: true });
      refused(await open(authorizeUrl(ISSUER)), 410, "session-over");
      const events = await call("GET", session(id, "/events"));
      expect([events.status, events.type]).toEqual([200, "text/event-stream"]);
      expect(events.text).toMatch(/^data: .*"state":"destroyed"/m);
    });
  });
};
