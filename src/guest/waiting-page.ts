/** Serves Firefox its start page on loopback, and tells it about the session as soon as that is known. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { keyFingerprint } from "../handover/sealing.ts";
import { closeServer, listenOn } from "./health-server.ts";
import type { SessionHolder } from "./session.ts";
import { WAITING_PAGE, WAITING_PAGE_CSP } from "./waiting-page-html.ts";

export interface WaitingPageOptions {
  port: number;
  session: SessionHolder;
  /** The page has been drawn on the screen (two animation frames after its script ran). */
  onPainted: () => void;
}

/** Security headers of everything this server says. No referrer: the provider need not learn of this page. */
const HEADERS = {
  "content-security-policy": WAITING_PAGE_CSP,
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
};

export const startWaitingPage = async ({ port, session, onPainted }: WaitingPageOptions) => {
  const streams = new Set<ServerResponse>();

  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    if (!isFromOwnPage(request)) return end(response, 403);
    switch (`${request.method} ${request.url}`) {
      case "GET /":
        response.writeHead(200, { ...HEADERS, "content-type": "text/html; charset=utf-8" }).end(WAITING_PAGE);
        return;
      case "GET /events":
        return stream(response);
      case "POST /painted":
        onPainted();
        return end(response, 204);
      default:
        return end(response, 404);
    }
  };

  /** Both names are ours: another page can neither post here nor read through a host name bent to 127.0.0.1. */
  const isFromOwnPage = ({ headers }: IncomingMessage): boolean =>
    headers.host === `127.0.0.1:${boundPort}` && [undefined, `http://${headers.host}`].includes(headers.origin);

  const stream = (response: ServerResponse): void => {
    response.writeHead(200, { ...HEADERS, "content-type": "text/event-stream" });
    response.write("retry: 500\n\n");
    streams.add(response);
    response.on("close", () => streams.delete(response));
    sendSession(response);
  };

  const sendSession = (response: ServerResponse): void => {
    if (!session.current) return;
    const { providerTitle, recipientKey, sealing } = session.current;
    const fingerprint = recipientKey && keyFingerprint(recipientKey);
    const told = { providerTitle, userId: sealing.userId, fingerprint };
    response.write(`event: session\ndata: ${JSON.stringify(told)}\n\n`);
  };

  const server = createServer(handle);
  server.maxConnections = 32;
  const boundPort = await listenOn(server, port, "127.0.0.1");
  session.onSet(() => streams.forEach(sendSession));
  return { port: boundPort, url: `http://127.0.0.1:${boundPort}/`, close: async () => closeServer(server) };
};

const end = (response: ServerResponse, status: number): void => {
  response.writeHead(status, HEADERS).end();
};
