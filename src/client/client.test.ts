import { createServer, type RequestListener, type Server } from "node:http";
import { mkdtempSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { SessionView } from "../contract/api.ts";
import { createClient, type Client } from "./client.ts";

let server: Server;
let client: Client;
afterEach(async () => {
  await client.close();
  server.closeAllConnections();
  server.close();
});

const serve = async (listener: RequestListener, socket?: string): Promise<void> => {
  server = createServer(listener);
  await new Promise<void>((resolve) =>
    socket ? server.listen(socket, resolve) : server.listen(0, "127.0.0.1", resolve),
  );
  const url = socket ? `unix:${socket}` : `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  client = createClient({ url, key: "sally_k" });
};

const view = (state: SessionView["state"]): SessionView => ({
  sessionId: "ses_1",
  provider: "oidc",
  userId: "ann",
  state,
  stages: [],
  browserIP: null,
  vmId: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  expiresAt: "2026-01-01T00:15:00.000Z",
  hasViewer: false,
  wrongPairingCodes: 0,
  credential: "awaited",
  warning: null,
  verdict: null,
  outcome: null,
  hasReceipt: state === "destroyed",
});

describe("calls", () => {
  test("carry the key, and work over a unix socket", async () => {
    let seen = "";
    await serve(
      (request, response) => {
        seen = `${request.method} ${request.url} ${request.headers.authorization}`;
        response.end(JSON.stringify(view("ready")));
      },
      join(mkdtempSync(join(tmpdir(), "sallyport-client-")), "s"),
    );
    expect(await client.session("ses/../1")).toMatchObject({ state: "ready" });
    expect(seen).toBe("GET /api/auth/session/ses%2F..%2F1 Bearer sally_k");
  });

  test("a problem keeps its code, sentence, hint, fields and patience", async () => {
    const problem = { type: "x", title: "t", status: 503, code: "pool-exhausted", detail: "All taken.", hint: "Wait." };
    await serve((_request, response) => {
      response.writeHead(503, { "retry-after": "30" }).end(JSON.stringify({ ...problem, fields: ["a: b"] }));
    });
    await expect(client.sessions()).rejects.toMatchObject({
      name: "AppError",
      kind: "unavailable",
      code: "pool-exhausted",
      message: "All taken.",
      hint: "Wait.",
      fields: ["a: b"],
      retryAfterSec: 30,
    });
  });

  test.each<[string, number, string]>([
    ["no JSON", 200, "<html>"],
    ["another shape", 200, '{"sessionId":1}'],
    ["an error without a problem", 502, "{}"],
    ["an error page", 502, "Bad Gateway"],
  ])("%s is an answer of somebody else", async (_what, status, text) => {
    await serve((_request, response) => void response.writeHead(status).end(text));
    await expect(client.session("x")).rejects.toMatchObject({ code: "bad-answer" });
  });

  test("credentials: 202 is not yet, 410 is an error of kind gone", async () => {
    const gone = { type: "x", title: "t", status: 410, code: "credentials-taken", detail: "Taken." };
    const answers: [number, unknown][] = [
      [202, {}],
      [200, { sealed: { enc: "AA==", ciphertext: "AA==" } }],
      [410, gone],
    ];
    await serve((_request, response) => {
      const [status, body] = answers.shift() ?? [500, {}];
      response.writeHead(status).end(JSON.stringify(body));
    });
    expect(await client.credentials("x")).toBeUndefined();
    expect(await client.credentials("x")).toEqual({ enc: "AA==", ciphertext: "AA==" });
    await expect(client.credentials("x")).rejects.toMatchObject({ kind: "gone", code: "credentials-taken" });
  });

  test("nobody there", async () => {
    await serve(() => {});
    const { port } = server.address() as AddressInfo;
    server.close();
    const absent = createClient({ url: `http://127.0.0.1:${port}`, key: "k" });
    await expect(absent.sessions()).rejects.toMatchObject({ code: "controller-unreachable", exitCode: 6 });
    await absent.close();
  });

  test.each([
    ["url-insecure", "http://192.0.2.1:4000"],
    ["url-insecure", "http://127.0.0.1.evil.test"],
    ["url-invalid", "ftp://x"],
    ["url-invalid", "http://127.0.0.1:4000/path"],
    ["url-invalid", "nonsense"],
  ])("%s: %s", (code, url) => {
    expect(() => createClient({ url, key: "k" })).toThrow(expect.objectContaining({ code }));
  });
});

describe("events", () => {
  const collect = async (): Promise<string[]> => {
    const states: string[] = [];
    for await (const { state } of client.events("ses_1")) states.push(state);
    return states;
  };
  const send = (state: SessionView["state"]): string => `id: 1\ndata: ${JSON.stringify(view(state))}\n\n`;

  test("go on over a broken connection, and end with the session", async () => {
    let connections = 0;
    await serve((_request, response) => {
      connections += 1;
      response.writeHead(200, { "content-type": "text/event-stream" });
      if (connections === 1) {
        const text = `: hello\n\n${send("starting")}data: {"half`;
        response.write(text.slice(0, 20));
        setTimeout(() => response.write(text.slice(20), () => response.destroy()), 20);
      } else {
        response.end(send("active") + send("destroyed"));
      }
    });
    expect(await collect()).toEqual(["starting", "active", "destroyed"]);
    expect(connections).toBe(2);
  });

  test("a session that is not there is no reason to try again", async () => {
    let connections = 0;
    const problem = { type: "x", title: "t", status: 404, code: "no-session", detail: "None." };
    await serve((_request, response) => {
      connections += 1;
      response.writeHead(404).end(JSON.stringify(problem));
    });
    await expect(collect()).rejects.toMatchObject({ code: "no-session" });
    expect(connections).toBe(1);
  });

  test("an abort ends the stream at once", async () => {
    await serve((_request, response) => void response.writeHead(200).write(send("starting")));
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _view of client.events("ses_1", stop.signal)) stop.abort(new Error("enough"));
    })();
    await expect(reading).rejects.toThrow("enough");
  });
});
