import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { caughtRequest, MAX_CALLBACK_BYTES, type CallbackAnswer, type Sealed } from "../contract/guest.ts";
import { createRecipient, keyThumbprint, sealTo, type Recipient } from "../handover/sealing.ts";
import { createCatcher, type Catcher } from "./catcher.ts";
import { createSessionHolder, type SessionHolder } from "./session.ts";

let recipient: Recipient;
let session: SessionHolder;
let catcher: Catcher;
let port: number;

const sealing = () => ({
  sessionId: "ses_1",
  provider: "wrangler",
  userId: "ada",
  keyThumbprint: keyThumbprint(recipient.publicKey),
  expiresAt: "2026-11-22T12:00:00.000Z",
});

const freePort = async (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port: free } = probe.address() as AddressInfo;
      probe.close(() => resolve(free));
    });
  });

interface Reply {
  status: number;
  headers: IncomingMessage["headers"];
  body: string;
}

const browse = async (
  target: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Reply> =>
  new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, body } = options;
    const outgoing = httpRequest(
      { host: "127.0.0.1", port, path: target, method, agent: false, headers },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });

const openBox = async (sealed: Sealed | undefined) => {
  if (!sealed) throw new Error("nothing was caught");
  const opened = await recipient.open(sealed, sealing());
  const sealAnswer = async (answer: CallbackAnswer) => opened.sealAnswer(Buffer.from(JSON.stringify(answer)));
  return { caught: caughtRequest.parse(JSON.parse(Buffer.from(opened.plaintext).toString("utf8"))), sealAnswer };
};

const DONE: CallbackAnswer = { status: 200, headers: [], body: Buffer.from("done").toString("base64") };

beforeEach(async () => {
  recipient = await createRecipient();
  session = createSessionHolder();
  session.set({ sealing: sealing(), recipientKey: recipient.publicKey, providerTitle: "Wrangler" });
  catcher = createCatcher({ session });
  port = await freePort();
});

afterEach(async () => catcher.close());

describe("the catcher", () => {
  test("hands the request over byte for byte, and the tool's reply back", async () => {
    await catcher.listen(port, "/oauth/callback");
    const collecting = catcher.collect(10_000);
    const target = "/oauth/callback?code=a%2Bb&state=%20x&&iss=https://idp.example/";
    const reply = browse(target, { headers: { Host: `localhost:${port}`, "X-Odd-CASE": "k\u00e4se" } });
    const { caught, sealAnswer } = await openBox(await collecting);
    expect(caught).toMatchObject({ method: "GET", target, body: "" });
    expect(caught.rawHeaders).toContain("X-Odd-CASE");
    expect(caught.rawHeaders).toContain("k\u00e4se");

    await catcher.answer(
      await sealAnswer({
        status: 302,
        headers: [
          ["Location", "https://welcome.example/"],
          ["Set-Cookie", "a=1"],
          ["Set-Cookie", "b=2"],
          ["Transfer-Encoding", "chunked"],
          ["Connection", "keep-alive"],
          ["Content-Length", "9999"],
        ],
        body: Buffer.from("gone on").toString("base64"),
      }),
    );
    const { status, headers, body } = await reply;
    expect({ status, body }).toEqual({ status: 302, body: "gone on" });
    expect(headers).toMatchObject({ location: "https://welcome.example/", connection: "close" });
    expect(headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    expect(headers["content-length"]).not.toBe("9999");
  });

  test("takes a posted form with any bytes in it", async () => {
    await catcher.listen(port, "/");
    const body = Buffer.from([0x63, 0x3d, 0x00, 0xff, 0xc3, 0x28, 0x26]);
    const reply = browse("/", { method: "POST", body });
    const { caught, sealAnswer } = await openBox(await catcher.collect(10_000));
    expect(caught.method).toBe("POST");
    expect(Buffer.from(caught.body, "latin1")).toEqual(body);
    await catcher.answer(await sealAnswer(DONE));
    expect((await reply).body).toBe("done");
  });

  test.each<[string, string, Parameters<typeof browse>[1], number]>([
    ["another path", "/favicon.ico", {}, 404],
    ["a longer path", "/callback/", {}, 404],
    ["a path in other case", "/Callback?code=1", {}, 404],
    ["a doubled slash", "//callback?code=1", {}, 404],
    ["another method", "/callback", { method: "PUT" }, 405],
    ["a HEAD request", "/callback", { method: "HEAD" }, 405],
    ["another host name", "/callback?code=1", { headers: { Host: "rebound.example" } }, 404],
    ["a body too long", "/callback", { method: "POST", body: "x".repeat(MAX_CALLBACK_BYTES + 1) }, 413],
  ])("is not used up by %s", async (_name, target, options, status) => {
    await catcher.listen(port, "/callback");
    expect((await browse(target, options)).status).toBe(status);
    expect(await catcher.collect(0)).toBeUndefined();
    const reply = browse("/callback?code=right");
    const { caught, sealAnswer } = await openBox(await catcher.collect(10_000));
    expect(caught.target).toBe("/callback?code=right");
    await catcher.answer(await sealAnswer(DONE));
    expect((await reply).status).toBe(200);
  });

  test("accepts nothing after the one request, and gives the same box until it is answered", async () => {
    await catcher.listen(port, "/");
    const reply = browse("/?n=1");
    const first = await catcher.collect(10_000);
    expect(await catcher.collect(0)).toEqual(first);
    await expect(browse("/?n=2")).rejects.toMatchObject({ code: "ECONNREFUSED" });
    const { sealAnswer } = await openBox(first);
    await catcher.answer(await sealAnswer(DONE));
    await reply;
    expect(await catcher.collect(0)).toBeUndefined();
    await expect(catcher.answer(await sealAnswer(DONE))).rejects.toMatchObject({ code: "nothing-caught" });
  });

  test("catches one of two requests that are there at once, and the other is told that nothing is here", async () => {
    await catcher.listen(port, "/");
    const asked = (n: number) => {
      // It says to go on as soon as it has the headers: then both are with it before one of them is whole.
      const headers = { Expect: "100-continue", "Content-Length": 1 };
      const outgoing = httpRequest({
        host: "127.0.0.1",
        port,
        path: `/?n=${n}`,
        method: "POST",
        agent: false,
        headers,
      });
      outgoing.flushHeaders();
      const status = new Promise<number | undefined>((resolve, reject) =>
        outgoing.on("error", reject).on("response", (response) => resolve(response.resume().statusCode)),
      );
      return { outgoing, status, heard: once(outgoing, "continue") };
    };
    const [first, second] = [asked(1), asked(2)];
    await Promise.all([first.heard, second.heard]);
    first.outgoing.end("x");
    const box = await catcher.collect(10_000);
    second.outgoing.end("x");
    const { caught, sealAnswer } = await openBox(box);
    expect(caught.target).toBe("/?n=1");
    expect(await second.status).toBe(404);
    await catcher.answer(await sealAnswer(DONE));
    expect(await first.status).toBe(200);
  });

  test("refuses an answer that was sealed for another box and keeps waiting for the right one", async () => {
    await catcher.listen(port, "/");
    const reply = browse("/?n=1");
    const { sealAnswer } = await openBox(await catcher.collect(10_000));
    const other = await openBox((await sealTo(recipient.publicKey, sealing(), Buffer.from(validRequest))).sealed);
    const foreign = await other.sealAnswer({ ...DONE, status: 201 });
    await expect(catcher.answer(foreign)).rejects.toMatchObject({ code: "answer-refused" });
    await catcher.answer(await sealAnswer(DONE));
    expect((await reply).status).toBe(200);
  });

  test("sends the person back to the terminal when no answer comes for long, and keeps the box for the requester", async () => {
    catcher.close();
    catcher = createCatcher({ session, holdMs: 50 });
    await catcher.listen(port, "/");
    const { status, body } = await browse("/?n=1");
    expect(status).toBe(200);
    expect(body).toContain("Go back to your terminal");
    const kept = await catcher.collect(0);
    const { caught, sealAnswer } = await openBox(kept);
    expect(caught.target).toBe("/?n=1");
    expect(await catcher.collect(0)).toEqual(kept);
    await catcher.answer(await sealAnswer(DONE));
    expect(await catcher.collect(0)).toBeUndefined();
    await catcher.listen(port, "/again");
  });

  test("keeps the box when the browser does not wait", async () => {
    await catcher.listen(port, "/");
    const impatient = connect(port, "127.0.0.1", () =>
      impatient.write(`GET /?n=1 HTTP/1.1\r\nHost: localhost:${port}\r\n\r\n`),
    );
    const kept = await catcher.collect(10_000);
    impatient.destroy();
    const { sealAnswer } = await openBox(kept);
    expect(await catcher.collect(0)).toEqual(kept);
    await catcher.answer(await sealAnswer(DONE));
  });

  test("takes an answer again from who did not hear that it had arrived", async () => {
    await catcher.listen(port, "/");
    const reply = browse("/?n=1");
    const { sealAnswer } = await openBox(await catcher.collect(10_000));
    const answer = await sealAnswer(DONE);
    await catcher.answer(answer);
    await catcher.answer(answer);
    expect((await reply).body).toBe("done");
  });

  test("may be asked twice for the same, not for another while one is open", async () => {
    await catcher.listen(port, "/a");
    await catcher.listen(port, "/a");
    await expect(catcher.listen(port, "/b")).rejects.toMatchObject({ code: "already-listening" });
    await expect(catcher.listen(port + 1, "/a")).rejects.toMatchObject({ code: "already-listening" });
  });

  test("catches nothing where nothing may be handed over", async () => {
    const nobody = createSessionHolder();
    await expect(createCatcher({ session: nobody }).listen(port, "/")).rejects.toMatchObject({
      code: "nobody-to-hand-to",
    });
    nobody.set({ sealing: sealing(), providerTitle: "x" });
    await expect(createCatcher({ session: nobody }).listen(port, "/")).rejects.toMatchObject({
      code: "nobody-to-hand-to",
    });
  });

  test("says so when the port is taken, and can be asked for another", async () => {
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(port, "127.0.0.1", resolve));
    await expect(catcher.listen(port, "/")).rejects.toMatchObject({ code: "port-taken" });
    await catcher.listen(await freePort(), "/");
    await new Promise((resolve) => blocker.close(resolve));
  });

  test("survives what is no HTTP", async () => {
    await catcher.listen(port, "/");
    await new Promise<void>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => socket.write("\u0000\u0001 nonsense\r\n\r\n"));
      socket.resume().on("close", () => resolve());
    });
    expect((await browse("/nothing")).status).toBe(404);
  });
});

const validRequest = JSON.stringify({ method: "GET", target: "/", rawHeaders: [], body: "" });
