/** The HTTP side of the catcher: takes the one request meant for it and keeps the browser waiting for the reply. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { MAX_CALLBACK_BYTES, type CallbackAnswer, type CaughtRequest } from "../contract/guest.ts";
import { AppError, errnoOf } from "../lib/errors.ts";
import { listenOn } from "./health-server.ts";
import { plainPage } from "./plain-page.ts";

export type WaitingBrowser = ReturnType<typeof waitingBrowser>;

export interface ListenerOptions {
  port: number;
  path: string;
  /** Called once, with the request as UTF-8 JSON of CaughtRequest. */
  onCaught: (plaintext: Buffer, browser: WaitingBrowser) => Promise<void>;
}

/** RFC 9110 §7.6.1, and the length, which is counted anew. */
const HOP_BY_HOP = /^(connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|content-length)$/i;

/**
 * Listens on 127.0.0.1 and, where there is IPv6, on ::1: "localhost" may mean either. Answers what makes it stop accepting,
 * responses under way going on. Throws AppError `port-taken`.
 */
export const openListener = async ({ port, path, onCaught }: ListenerOptions): Promise<() => void> => {
  let isTaken = false;

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (isTaken || !isOwnHost(request, port) || pathOf(request) !== path) return sendPage(response, 404, NOT_HERE);
    if (request.method !== "GET" && request.method !== "POST") return sendPage(response, 405, NOT_HERE);
    const plaintext = await readRequest(request);
    if (plaintext.length > MAX_CALLBACK_BYTES) return sendPage(response, 413, TOO_LONG);
    if (isTaken) return sendPage(response, 404, NOT_HERE);
    isTaken = true;
    close();
    await onCaught(plaintext, waitingBrowser(response));
  };

  const servers = [newServer(handle), newServer(handle)] as const;
  const close = (): void => servers.forEach((server) => server.listening && server.close());
  try {
    await listenOn(servers[0], port, "127.0.0.1");
    await listenOn(servers[1], port, "::1").catch(ignoreMissingIpv6);
  } catch (cause) {
    close();
    throw new AppError("conflict", "port-taken", `Port ${port} cannot be listened on inside the guest.`, { cause });
  }
  return close;
};

const newServer = (handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>): Server => {
  const limits = { maxHeaderSize: MAX_CALLBACK_BYTES, requestTimeout: 15_000 };
  return createServer(limits, (request, response) => {
    handle(request, response).catch(() => sendPage(response, 500, GO_BACK));
  });
};

const ignoreMissingIpv6 = (error: unknown): void => {
  if (!["EADDRNOTAVAIL", "EAFNOSUPPORT"].includes(errnoOf(error) ?? "")) throw error;
};

/** A name that was bent to point here is not one the provider was told. */
const isOwnHost = (request: IncomingMessage, port: number): boolean =>
  ["localhost", "127.0.0.1", "[::1]"].some((name) => request.headers.host === `${name}:${port}`);

const pathOf = (request: IncomingMessage): string => (request.url ?? "").split("?", 1)[0] ?? "";

/** Keeps no more than the limit and a little; the caller sees by the length that it was too much. */
const readRequest = async (request: IncomingMessage): Promise<Buffer> => {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    if (bytes <= MAX_CALLBACK_BYTES) pieces.push(piece);
    bytes += piece.length;
  }
  const caught: CaughtRequest = {
    method: request.method ?? "",
    target: request.url ?? "",
    rawHeaders: request.rawHeaders,
    body: Buffer.concat(pieces).toString("latin1"),
  };
  return Buffer.from(JSON.stringify(caught));
};

/** Each does nothing where the browser has been told something already, or has gone. */
const waitingBrowser = (response: ServerResponse) => ({
  /** Passes the tool's reply on, without the headers that belong to its own connection. */
  answer: ({ status, headers, body }: CallbackAnswer): void => {
    if (response.headersSent || response.destroyed) return;
    // A list, and nothing set before: names that come twice (Set-Cookie) stay two only this way.
    const kept = headers.filter(([name]) => !HOP_BY_HOP.test(name));
    response.writeHead(status, [...kept, ["connection", "close"]].flat());
    response.end(Buffer.from(body, "base64"));
  },
  tellToGoBack: () => sendPage(response, 200, GO_BACK),
});

const sendPage = (response: ServerResponse, status: number, page: string): void => {
  if (response.headersSent || response.destroyed) return;
  const headers = { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", connection: "close" };
  response.writeHead(status, headers).end(page);
};

const NOT_HERE = plainPage("There is nothing here", "The sign-in answers at another address.");
const TOO_LONG = plainPage("That was too long", "The sign-in's answer is longer than any tool accepts.");
const GO_BACK = plainPage(
  "Go back to your terminal",
  "It says how the sign-in went. This browser is closed by itself.",
);
