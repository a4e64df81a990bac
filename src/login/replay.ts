/** Plays the guest's browser towards the tool's own loopback listener: the same bytes, and the tool's real answer back. */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { CallbackAnswer, CaughtRequest } from "../contract/guest.ts";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { headerPairs } from "./caught-check.ts";

/** `localhost` is either; a tool listens on the one its runtime resolves first. */
const LOOPBACK = ["127.0.0.1", "::1"];

const TIMEOUT_MS = 60_000;
const MAX_REDIRECTS = 3;

/** So that the answer, twice in base64 and sealed, stays below what the controller takes. */
const MAX_PAGE_BYTES = 96 * 1024;

/** They describe the connection to this machine, or the body's framing, which is made anew in the guest. */
const HOP_BY_HOP = ["connection", "keep-alive", "transfer-encoding", "content-length", "trailer", "upgrade"];

/**
 * Sends the caught request to the tool's listener at `port` and returns what the guest's browser shall see.
 * Redirects of the tool to its own listener are followed here, not in the guest: the catcher there takes one request only,
 * codex ends its login at the second (`/success`), and it puts the ID token in that address, which must not enter the VM.
 * Throws AppError `tool-not-listening`, `tool-silent`.
 */
export const replay = async (caught: CaughtRequest, { port, signal }: { port: number; signal: AbortSignal }) => {
  let answer = await send(caught, port, signal);
  for (let hops = 0; hops < MAX_REDIRECTS; hops += 1) {
    const target = ownRedirect(answer, caught.target, port);
    if (target === undefined) break;
    answer = await send({ ...caught, method: "GET", target, body: "" }, port, signal);
  }
  return toCallbackAnswer(answer);
};

type ToolAnswer = Awaited<ReturnType<typeof sendTo>>;

const send = async (caught: CaughtRequest, port: number, signal: AbortSignal): Promise<ToolAnswer> => {
  for (const host of LOOPBACK) {
    try {
      return await sendTo(host, caught, port, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (errnoOf(cause) === "ECONNREFUSED" || errnoOf(cause) === "EADDRNOTAVAIL") continue;
      const sentence = `The tool took the callback and gave no answer: ${messageOf(cause)}.`;
      throw new AppError("unavailable", "tool-silent", sentence, { hint: "See what the tool printed above.", cause });
    }
  }
  throw new AppError("unavailable", "tool-not-listening", `Nobody listens on port ${port} of this machine any more.`, {
    hint: "The tool gave up waiting, or runs in another container or network namespace than this program.",
  });
};

const sendTo = async (host: string, caught: CaughtRequest, port: number, signal: AbortSignal) => {
  const request = httpRequest({
    host,
    port,
    method: caught.method,
    path: caught.target,
    // As an array Node writes them as they are, in order and letter case, and adds no Host of its own.
    headers: withConnection(caught.rawHeaders),
    agent: false,
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  // What breaks before the answer is thrown here, what breaks in the middle of it by whoever reads its body.
  request.on("error", () => {});
  // The catcher hands bytes through as characters of the same number.
  request.end(Buffer.from(caught.body, "latin1"));
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const { statusCode: status = 500, rawHeaders } = response;
  return { status, headers: headerPairs(rawHeaders), body: await readBody(response) };
};

/** Every browser sends a Connection header; where none came, one of ours is better than one that Node chooses. */
const withConnection = (rawHeaders: string[]): string[] =>
  headerPairs(rawHeaders).some(([name]) => name.toLowerCase() === "connection")
    ? rawHeaders
    : [...rawHeaders, "Connection", "close"];

/** Null when it is longer than can be passed on. */
const readBody = async (response: IncomingMessage): Promise<Buffer | null> => {
  const chunks: Buffer[] = [];
  let size = 0;
  // Read to its end in any case: the tool must be able to finish its answer.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= MAX_PAGE_BYTES) chunks.push(chunk);
  }
  return size <= MAX_PAGE_BYTES ? Buffer.concat(chunks) : null;
};

/** Path and query if the answer sends the browser on to the tool's own listener. */
const ownRedirect = ({ status, headers }: ToolAnswer, target: string, port: number): string | undefined => {
  const location = headers.find(([name]) => name.toLowerCase() === "location")?.[1];
  if (status < 300 || status > 399 || location === undefined) return undefined;
  const base = `http://localhost:${port}${target}`;
  if (!URL.canParse(location, base)) return undefined;
  const url = new URL(location, base);
  const isOwn = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname) && url.protocol === "http:";
  return isOwn && url.port === String(port) ? url.pathname + url.search : undefined;
};

const toCallbackAnswer = ({ status, headers, body }: ToolAnswer): CallbackAnswer => {
  if (body === null)
    return page(status, "The tool has answered. Its page is too long to be shown here; see the terminal.");
  const shown = headers
    .filter(([name, value]) => !HOP_BY_HOP.includes(name.toLowerCase()) && name.length <= 256 && value.length <= 8192)
    .slice(0, 63);
  return { status, headers: [...shown, ["Content-Length", String(body.length)]], body: body.toString("base64") };
};

/** A page of our own with one sentence; for mode `oidc`, and where the tool has none that can be shown. */
export const page = (status: number, sentence: string): CallbackAnswer => {
  const html = `<!doctype html><meta charset="utf-8"><title>Sallyport</title><p>${escapeHtml(sentence)}</p>\n`;
  return {
    status,
    headers: [
      ["Content-Type", "text/html; charset=utf-8"],
      ["Content-Length", String(Buffer.byteLength(html))],
      ["Cache-Control", "no-store"],
    ],
    body: Buffer.from(html).toString("base64"),
  };
};

const escapeHtml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
