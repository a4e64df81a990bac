/** The viewer's page and its calls: pairing code → cookie → ticket → WebSocket. No secret is ever in a URL. */
import { join } from "node:path";
import { readFile } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { FastifyRequest } from "fastify";
import type { WebSocket } from "ws";
import { pairRequest, ticketResponse } from "../../contract/api.ts";
import { viewing } from "../../contract/session.ts";
import { AppError, messageOf } from "../../lib/errors.ts";
import { bridgeScreen } from "../screen-bridge.ts";
import { call, requireSameOrigin, VIEWER_COOKIE } from "../auth.ts";
import { sessionParams as params, type App, type HttpContext } from "../context.ts";

const tags = ["viewer"];
const TICKET_PROTOCOL = /(?:^|[ ,])sallyport\.ticket\.([A-Za-z0-9_-]{20,100})(?:[ ,]|$)/;

/** noVNC sets styles through the DOM, which this policy allows; nothing is loaded from anywhere else. */
const CONTENT_SECURITY_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** Close code that tells the page not to connect again by itself. */
const TAKEN_OVER = 4000;
/** For the other side to answer a goodbye. */
const GOODBYE_MS = 2000;

/** Read once, so that any number of answers which nobody takes are one piece of memory. */
const remembered = (file: string): (() => Promise<Buffer>) => {
  let content: Promise<Buffer> | undefined;
  return () =>
    (content ??= readFile(file).catch((error: unknown) => {
      content = undefined;
      throw error;
    }));
};

const ASSETS = { "viewer.js": "text/javascript", "viewer.css": "text/css" } as const;

export const registerViewer = (app: App, context: HttpContext): void => {
  const { config, sessions, webDirectory } = context;
  const { viewers } = sessions;
  const page = remembered(join(webDirectory, "viewer.html"));
  const isHttps = config.publicUrl.startsWith("https:");

  app.get(
    "/api/auth/session/:id/novnc",
    call("anyone", { params, summary: "The viewer page", tags }),
    async (_request, reply) =>
      reply
        .headers({
          "content-security-policy": CONTENT_SECURITY_POLICY,
          "referrer-policy": "no-referrer",
          "cache-control": "no-store",
        })
        .type("text/html; charset=utf-8")
        .send(await page()),
  );

  for (const [name, type] of Object.entries(ASSETS)) {
    const asset = remembered(join(webDirectory, name));
    app.get(`/assets/${name}`, call("anyone", { hide: true }), async (_request, reply) =>
      reply
        .headers({ "cache-control": "no-cache", "x-content-type-options": "nosniff" })
        .type(`${type}; charset=utf-8`)
        .send(await asset()),
    );
  }

  app.post(
    "/api/auth/session/:id/pair",
    call("anyone", { params, body: pairRequest, summary: "Type the pairing code", tags }),
    async (request, reply) => {
      requireSameOrigin(request, config.publicUrl, false);
      const cookie = await viewers.pair(request.params.id, request.body.pairingCode);
      return reply
        .setCookie(VIEWER_COOKIE, cookie, {
          path: `/api/auth/session/${request.params.id}`,
          httpOnly: true,
          sameSite: "strict",
          secure: isHttps,
        })
        .status(204)
        .send();
    },
  );

  app.post(
    "/api/auth/session/:id/ticket",
    call("paired", { params, response: { 200: ticketResponse }, summary: "One WebSocket, within 30 s", tags }),
    async (request) => viewers.ticket(request.params.id, request.cookies[VIEWER_COOKIE]),
  );

  app.get(
    "/api/auth/session/:id/viewer",
    // What became of a session is said to a page whose pairing ended with it, too.
    call("anyone", { params, response: { 200: viewing }, summary: "What the trust strip shows", tags }),
    async (request) => viewers.viewing(request.params.id, request.cookies[VIEWER_COOKIE]),
  );

  app.get(
    "/api/auth/session/:id/vnc",
    {
      ...call("ticket", { params, hide: true }),
      websocket: true,
      preValidation: (request) => takeSeat(request as ViewerRequest),
    },
    (socket, request) => bridge(socket, request as ViewerRequest),
  );

  /** Before the upgrade, so that a refusal is an ordinary HTTP answer. */
  const takeSeat = async (request: ViewerRequest): Promise<void> => {
    requireSameOrigin(request, config.publicUrl, true);
    const [, ticket] = TICKET_PROTOCOL.exec(request.headers["sec-websocket-protocol"] ?? "") ?? [];
    if (ticket === undefined) throw new AppError("unauthenticated", "bad-ticket", "The WebSocket needs a ticket.");
    const screen = await viewers.screen(request.params.id, ticket);
    // A client that announces an upgrade and goes away must not keep the seat.
    if (request.raw.socket.destroyed) screen.destroy();
    request.raw.socket.once("close", () => screen.destroy());
    request.screen = screen;
  };

  const bridge = (socket: WebSocket, request: ViewerRequest): void => {
    const { screen } = request;
    if (!screen) return socket.close(1011);
    // Either end's end is both ends' end: a guest that was destroyed never says goodbye.
    const end = (error?: Error): void => {
      if (error) {
        request.log.info({ sessionId: request.params.id, error: messageOf(error) }, "screen connection ended");
      }
      screen.destroy();
      const { errored } = screen;
      const isTaken = errored instanceof AppError && errored.code === "screen-taken";
      if (socket.readyState === socket.OPEN) socket.close(isTaken ? TAKEN_OVER : 1000, isTaken ? errored.message : "");
      setTimeout(() => socket.terminate(), GOODBYE_MS).unref();
    };
    if (screen.destroyed) return end();
    bridgeScreen(socket, screen, end);
  };
};

type ViewerRequest = FastifyRequest<{ Params: { id: string } }> & { screen?: Duplex };
