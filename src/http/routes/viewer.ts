/** The viewer's page and its calls: pairing code → cookie → ticket → WebSocket. No secret is ever in a URL. */
import { connect } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { readFile } from "node:fs/promises";
import type { FastifyRequest } from "fastify";
import { createWebSocketStream, type WebSocket } from "ws";
import { z } from "zod";
import { pairRequest, ticketResponse } from "../../contract/api.ts";
import { GUEST_PORTS } from "../../contract/guest.ts";
import { awaitedStage, bootStage, sessionState } from "../../contract/session.ts";
import { AppError, messageOf } from "../../lib/errors.ts";
import { isOver, type Session } from "../../session/session.ts";
import { TICKET_TTL_SEC } from "../../session/viewer.ts";
import { requireSameOrigin, VIEWER_COOKIE } from "../auth.ts";
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
  const { config, sessions, providers, webDirectory } = context;
  const page = remembered(join(webDirectory, "viewer.html"));
  const isHttps = config.publicUrl.startsWith("https:");

  app.get(
    "/api/auth/session/:id/novnc",
    { config: { access: "anyone" }, schema: { params, summary: "The viewer page", tags } },
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
    app.get(`/assets/${name}`, { config: { access: "anyone" }, schema: { hide: true } }, async (_request, reply) =>
      reply
        .headers({ "cache-control": "no-cache", "x-content-type-options": "nosniff" })
        .type(`${type}; charset=utf-8`)
        .send(await asset()),
    );
  }

  app.post(
    "/api/auth/session/:id/pair",
    { config: { access: "anyone" }, schema: { params, body: pairRequest, summary: "Type the pairing code", tags } },
    async (request, reply) => {
      requireSameOrigin(request, config.publicUrl, false);
      await requireLive(request.params.id);
      const cookie = await sessions.pair(request.params.id, request.body.pairingCode);
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
    {
      config: { access: "paired" },
      schema: { params, response: { 200: ticketResponse }, summary: "One WebSocket, within 30 s", tags },
    },
    async (request) => ({
      ticket: sessions.seats.newTicket(request.params.id, request.cookies[VIEWER_COOKIE]),
      expiresInSec: TICKET_TTL_SEC,
    }),
  );

  app.get(
    "/api/auth/session/:id/viewer",
    {
      // What became of a session is said to a page whose pairing ended with it, too.
      config: { access: "anyone" },
      schema: {
        params,
        response: {
          200: z.object({
            paired: z.literal(true),
            provider: z.string(),
            userId: z.string(),
            state: sessionState,
            expiresAt: z.string(),
            /** Boot stage that is awaited; null when the browser is there. */
            stage: bootStage.nullable(),
            /** What is in the guest's way now, in a sentence; null when nothing is. */
            warning: z.string().nullable(),
            /** Host of the page that was opened; null before. */
            openedHost: z.string().nullable(),
          }),
        },
        summary: "What the trust strip shows",
        tags,
      },
    },
    async (request) => {
      const session = await sessions.get(request.params.id);
      if (isOver(session.state)) throw over(session);
      sessions.seats.requirePaired(session.id, request.cookies[VIEWER_COOKIE]);
      return {
        paired: true as const,
        provider: providers.get(session.provider)?.title ?? session.provider,
        userId: session.userId,
        state: session.state,
        expiresAt: session.expiresAt,
        stage: awaitedStage(session.stages),
        warning: sessions.liveOf(session.id).warning?.sentence ?? null,
        openedHost: session.openedHost,
      };
    },
  );

  app.get(
    "/api/auth/session/:id/vnc",
    {
      config: { access: "ticket" },
      websocket: true,
      schema: { params, hide: true },
      preValidation: (request) => takeSeat(request as ViewerRequest),
    },
    (socket, request) => bridge(socket, request as ViewerRequest),
  );

  const requireLive = async (id: string): Promise<void> => {
    const session = await sessions.get(id);
    if (isOver(session.state)) throw over(session);
  };

  /** Before the upgrade, so that a refusal is an ordinary HTTP answer. */
  const takeSeat = async (request: ViewerRequest): Promise<void> => {
    requireSameOrigin(request, config.publicUrl, true);
    const [, ticket] = TICKET_PROTOCOL.exec(request.headers["sec-websocket-protocol"] ?? "") ?? [];
    const vm = await sessions.microvmOf(request.params.id);
    if (!vm || ticket === undefined)
      throw new AppError("unauthenticated", "bad-ticket", "The WebSocket needs a ticket.");
    const seat: Seat = { address: vm.address, disconnect: () => {}, leave: () => {} };
    seat.leave = sessions.seats.sitDown(request.params.id, ticket, () => seat.disconnect());
    // A client that announces an upgrade and goes away must not keep the seat.
    request.raw.socket.once("close", seat.leave);
    request.seat = seat;
  };

  const bridge = (socket: WebSocket, request: ViewerRequest): void => {
    const { seat } = request;
    if (!seat) return socket.close(1011);
    const rfb = connect({ host: seat.address, port: GUEST_PORTS.rfb });
    const screen = createWebSocketStream(socket);
    seat.disconnect = () => {
      // First the guest's end: who was replaced types no more, however long the goodbye takes.
      rfb.destroy();
      socket.close(TAKEN_OVER, "another page took over, or the session is over");
    };
    rfb.once("connect", () => void sessions.viewerConnected(request.params.id).catch(() => socket.close(1011)));
    // Either end's end is both ends' end: a guest that was destroyed never says goodbye.
    const end = (): void => {
      rfb.destroy();
      if (socket.readyState === socket.OPEN) socket.close(1000);
      setTimeout(() => socket.terminate(), GOODBYE_MS).unref();
      seat.leave();
    };
    socket.once("close", end);
    rfb.once("close", end);
    // Streams on both sides: a slow viewer stops the guest's pixels, not the controller's memory.
    const broken = (error: unknown): void => {
      request.log.info({ sessionId: request.params.id, error: messageOf(error) }, "screen connection ended");
      end();
    };
    pipeline(screen, rfb).catch(broken);
    pipeline(rfb, screen).catch(broken);
  };
};

interface Seat {
  address: string;
  disconnect: () => void;
  leave: () => void;
}

type ViewerRequest = FastifyRequest<{ Params: { id: string } }> & { seat?: Seat };

const over = ({ state, verdict }: Session): AppError =>
  verdict
    ? new AppError("gone", "session-failed", verdict.sentence, { hint: verdict.hint })
    : new AppError("gone", "session-over", `The session is over (${state}); its browser has been destroyed.`, {
        hint: "Start a new sign-in in the terminal.",
      });
