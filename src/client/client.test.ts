import { chmodSync, renameSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createNetServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { createGuardedFolder } from "../../test/fixtures/guarded-folder.ts";
import type { SessionView } from "../contract/api.ts";
import { createClient, type Client } from "./client.ts";

const { folder, remove } = createGuardedFolder();
const socket = join(folder, "s");
let server: Server;
let client: Client;
afterEach(async () => {
  await client.close();
  server.closeAllConnections();
  server.close();
});
afterAll(remove);

const serve = async (listener: RequestListener): Promise<void> => {
  server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  client = createClient({ url: `unix:${socket}`, key: "sally_k" });
};

const view = (state: SessionView["state"]): SessionView => ({
  sessionId: "ses_1",
  provider: "oidc",
  userId: "ann",
  state,
  stages: [],
  browserIP: null,
  vmId: null,
  vm: null,
  createdAt: "2026-01-01T00:00:00.000Z",
  expiresAt: "2026-01-01T00:15:00.000Z",
  hasViewer: false,
  wrongPairingCodes: 0,
  credential: "awaited",
  warning: null,
  verdict: null,
  outcome: null,
  hostId: "hst_000000000000",
  hasReceipt: state === "destroyed",
});

describe("calls", () => {
  test("carry the key, over a unix socket", async () => {
    let seen = "";
    await serve((request, response) => {
      seen = `${request.method} ${request.url} ${request.headers.authorization}`;
      response.end(JSON.stringify(view("ready")));
    });
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
    const absent = createClient({ url: `unix:${socket}.absent`, key: "k" });
    await expect(absent.sessions()).rejects.toMatchObject({ code: "controller-unreachable", exitCode: 6 });
    await absent.close();
  });

  test("a redirect is not followed, so that the key goes nowhere else", async () => {
    const asked: (string | undefined)[] = [];
    await serve((request, response) => {
      asked.push(request.url);
      response.writeHead(302, { location: "http://localhost/elsewhere" }).end();
    });
    await expect(client.sessions()).rejects.toMatchObject({ code: "controller-unreachable" });
    expect(asked).toEqual(["/api/sessions"]);
  });

  test.each([
    ["url-insecure", "http://192.0.2.1:4000"],
    ["url-insecure", "http://127.0.0.1:4000"],
    ["url-insecure", "http://localhost:4000"],
    ["url-invalid", "ftp://x"],
    ["url-invalid", "https://sally.example.org/path"],
    ["url-invalid", "https://sally.example.org@evil.test"],
    ["url-invalid", "https://sally.example.org?x"],
    ["url-invalid", "https://sally.example.org#x"],
    ["url-invalid", "nonsense"],
  ])("%s: %s", (code, url) => {
    expect(() => createClient({ url, key: "k" })).toThrow(expect.objectContaining({ code }));
  });

  test.each([
    "https://ann:s3cret@host",
    "ftp://ann:s3cret@host/x",
    "ann:s3cret@host",
    "https://a:s3cret@b:s3cret@host",
  ])("%s: the refused address is quoted without its user and password", (url) => {
    const quoted = expect.stringMatching(/^(?!.*s3cret).*host/) as string;
    expect(() => createClient({ url, key: "k" })).toThrow(expect.objectContaining({ message: quoted }));
  });

  test.each(["", "s3cret\nX: y", "s3cret ", "s3crêt", "s3cret".repeat(40)])("the key %j is refused unquoted", (key) => {
    const message = expect.stringMatching(/^(?!.*s3cr)What is given/) as string;
    expect(() => createClient({ url: `unix:${socket}`, key })).toThrow(
      expect.objectContaining({ code: "key-malformed", message }),
    );
  });
});

describe("the key goes to nobody else", () => {
  /** Answers like a controller, and keeps what it was sent. */
  const strangers = () => {
    let received = "";
    const stranger = createNetServer((connection) => {
      connection
        .on("error", () => {})
        .on("data", (data) => {
          received += data.toString();
          connection.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
        });
    });
    return { stranger, received: () => received };
  };

  test("not to a TCP port of this machine, where any user may listen", async () => {
    await serve(() => {});
    const { stranger, received } = strangers();
    await new Promise<void>((resolve) => stranger.listen(0, "127.0.0.1", resolve));
    const { port } = stranger.address() as AddressInfo;
    for (const host of ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"]) {
      expect(() => createClient({ url: `http://${host}:${port}`, key: "sally_k" })).toThrow(/whoever listens/);
    }
    stranger.close();
    expect(received()).toBe("");
  });

  test("not to a socket in a folder that others may write", async () => {
    await serve(() => {});
    server.close();
    const { stranger, received } = strangers();
    await new Promise<void>((resolve) => stranger.listen(socket, resolve));
    chmodSync(folder, 0o777);
    await expect(client.sessions()).rejects.toMatchObject({ code: "path-unguarded", exitCode: 3 });
    chmodSync(folder, 0o755);
    expect(await client.sessions()).toEqual([]);
    expect(received()).toContain("sally_k");
    stranger.close();
  });

  test("not to a socket that was put there while it was connecting", async () => {
    let isAsked = false;
    await serve(() => (isAsked = true));
    // Accepted only after the exchange: the client's look before is at the first socket, the one after at the second.
    const { stranger } = strangers();
    await new Promise<void>((resolve) => stranger.listen(`${socket}.new`, resolve));
    const asking = client.sessions();
    process.nextTick(() => {
      renameSync(`${socket}.new`, socket);
    });
    await expect(asking).rejects.toMatchObject({ code: "socket-exchanged" });
    expect(isAsked).toBe(false);
    stranger.close();
    rmSync(socket, { force: true });
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
