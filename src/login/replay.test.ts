import { createServer, type AddressInfo, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { callbackAnswer, type CaughtRequest } from "../contract/guest.ts";
import { page, replay } from "./replay.ts";

const caught: CaughtRequest = {
  method: "GET",
  target: "/oauth/callback?code=a%2Fb&state=%7E~+x&iss=https%3A%2F%2Fidp",
  rawHeaders: ["Host", "localhost:8976", "user-AGENT", "Mozilla/5.0 (X11)", "Accept", "a", "ACCEPT", "b"].concat([
    "X-Latin",
    "\u00e9",
    "Connection",
    "keep-alive",
  ]),
  body: "",
};
const signal = new AbortController().signal;
let close = (): unknown => undefined;
afterEach(() => close());

/** A listener that keeps the raw requests and gives one prepared answer after the other. */
const listen = async (answers: string[], host = "127.0.0.1"): Promise<{ port: number; wire: string[] }> => {
  const wire: string[] = [];
  const server = createServer((socket: Socket) => {
    socket.once("data", (chunk) => {
      const answer = answers[wire.length] ?? "HTTP/1.1 500 Unexpected\r\n\r\n";
      wire.push(chunk.toString("latin1"));
      socket.end(Buffer.from(answer.replace("PORT", String((server.address() as AddressInfo).port)), "latin1"));
    });
  });
  close = () => server.close();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return { port: (server.address() as AddressInfo).port, wire };
};

const bodyOf = ({ body }: { body: string }): string => Buffer.from(body, "base64").toString("latin1");

describe("replay", () => {
  test("puts the same bytes on the wire, and brings back what the tool answered", async () => {
    const { port, wire } = await listen(["HTTP/1.1 200 OK\r\nX-Tool: Real\r\nConnection: close\r\n\r\nh\u00e9llo"]);
    const answer = await replay(caught, { port, signal });
    expect(wire).toEqual([
      "GET /oauth/callback?code=a%2Fb&state=%7E~+x&iss=https%3A%2F%2Fidp HTTP/1.1\r\nHost: localhost:8976\r\n" +
        "user-AGENT: Mozilla/5.0 (X11)\r\nAccept: a\r\nACCEPT: b\r\nX-Latin: \u00e9\r\nConnection: keep-alive\r\n\r\n",
    ]);
    expect(answer.headers).toEqual([
      ["X-Tool", "Real"],
      ["Content-Length", "5"],
    ]);
    expect([answer.status, bodyOf(answer)]).toEqual([200, "h\u00e9llo"]);
  });

  test("a body goes along as it is", async () => {
    const { port, wire } = await listen(["HTTP/1.1 204 No Content\r\n\r\n"]);
    const body = "code=1&state=\u00ff";
    const rawHeaders = ["Host", "localhost", "Content-Length", String(body.length), "Connection", "keep-alive"];
    await replay({ method: "POST", target: "/cb", rawHeaders, body }, { port, signal });
    expect(wire[0]).toBe(
      `POST /cb HTTP/1.1\r\nHost: localhost\r\nContent-Length: 14\r\nConnection: keep-alive\r\n\r\n${body}`,
    );
  });

  test("a chunked answer is passed on without its framing", async () => {
    const { port } = await listen(["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]);
    const answer = await replay(caught, { port, signal });
    expect([answer.headers, bodyOf(answer)]).toEqual([[["Content-Length", "3"]], "abc"]);
  });

  test("finds a tool that listens on ::1 only", async () => {
    const { port } = await listen(["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], "::1");
    expect(bodyOf(await replay(caught, { port, signal }))).toBe("ok");
  });

  test("follows the tool's redirect to itself, so that its address never reaches the guest", async () => {
    const { port, wire } = await listen([
      "HTTP/1.1 302 Found\r\nLocation: http://localhost:PORT/success?id_token=SECRET\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone",
    ]);
    const answer = await replay(caught, { port, signal });
    expect(wire[1]).toMatch(/^GET \/success\?id_token=SECRET HTTP\/1\.1\r\n/);
    expect(bodyOf(answer)).toBe("done");
    expect(JSON.stringify(answer)).not.toContain("SECRET");
  });

  test.each([
    ["to somewhere else", "https://welcome.example/granted"],
    ["to another machine's port of that number", "http://welcome.example:PORT/granted"],
    ["to another port of this machine", "http://localhost:1/granted"],
    ["to the tool's port in another protocol, which that listener does not speak", "https://localhost:PORT/success"],
  ])("leaves a redirect %s to the browser", async (_, location) => {
    const { port, wire } = await listen([`HTTP/1.1 307 X\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`]);
    const answer = await replay(caught, { port, signal });
    const sent = location.replace("PORT", String(port));
    expect([answer.status, answer.headers[0], wire.length]).toEqual([307, ["Location", sent], 1]);
  });

  test("follows a tool that sends in circles three times and no more", async () => {
    const circle = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
    const { port, wire } = await listen(Array<string>(9).fill(circle));
    expect((await replay(caught, { port, signal })).status).toBe(302);
    expect(wire).toHaveLength(4);
  });

  test("what was posted goes to the tool once, not along with its redirect", async () => {
    const { port, wire } = await listen([
      "HTTP/1.1 303 See Other\r\nLocation: /done\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ]);
    const rawHeaders = ["Host", "localhost", "Content-Length", "6"];
    await replay({ method: "POST", target: "/cb", rawHeaders, body: "code=1" }, { port, signal });
    expect(wire[1]).toMatch(/^GET \/done /);
    expect(wire[1]).not.toContain("code=1");
  });

  test("an answer of more and longer headers than can be passed on is passed on without those", async () => {
    const many = Array.from({ length: 100 }, (_, n) => `X-${n}: y\r\n`).join("");
    const long = `${"N".repeat(300)}: y\r\nX-Long: ${"v".repeat(9_000)}\r\n`;
    const { port } = await listen([`HTTP/1.1 200 OK\r\n${long}${many}Content-Length: 2\r\n\r\nok`]);
    const answer = await replay(caught, { port, signal });
    expect(callbackAnswer.safeParse(answer).success).toBe(true);
    expect(answer.headers.map(([name]) => name)).toEqual([
      ...Array.from({ length: 63 }, (_, n) => `X-${n}`),
      "Content-Length",
    ]);
  });

  test("a sentence on a page of our own is text, whatever is in it", () => {
    expect(bodyOf(page(200, "<script>&"))).toContain("<p>&lt;script&gt;&amp;</p>");
  });

  test("a page too long to be sealed is replaced by a sentence", async () => {
    const { port } = await listen([`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${"x".repeat(200_000)}`]);
    expect(bodyOf(await replay(caught, { port, signal }))).toMatch(/too long/);
  });

  test("nobody there, and somebody who hangs up, are two sentences", async () => {
    const { port } = await listen([""]);
    await expect(replay(caught, { port, signal })).rejects.toMatchObject({ code: "tool-silent" });
    await close();
    await expect(replay(caught, { port, signal })).rejects.toMatchObject({ code: "tool-not-listening" });
  });
});
