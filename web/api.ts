/** The calls of the viewer page. All are same-origin; after pairing, an HttpOnly cookie that scripts cannot see says who asks. */
import type { Viewing as Answer } from "../src/contract/session.ts";

/** What the paired viewer may know of the session while it lives: `GET …/viewer`. */
export interface Viewing extends Omit<Answer, "paired"> {
  /** Milliseconds until `expiresAt` by the server's clock, at `receivedAt` of our own monotonic one. */
  leftMs: number;
  receivedAt: number;
}

/** The server said no, or (status 0) nothing. `message` and `hint` are sentences for the person. */
export class Refused extends Error {
  readonly status: number;
  /** The problem document's stable code. */
  readonly code: string;
  readonly hint: string;

  constructor(status: number, message: string, { code = "", hint = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }

  /** What is the matter and what to do. */
  get sentences(): string {
    return `${this.message} ${this.hint}`.trim();
  }
}

export interface SessionApi {
  /** Throws Refused 403 (wrong code), 429 (locked), 409 (somebody else watches), 404, 410 (over). */
  pair(pairingCode: string): Promise<void>;
  /** Throws Refused 401 while this browser is not paired, 404, 410 once the session is over. */
  viewing(): Promise<Viewing>;
  /** A socket that a fresh single-use ticket opens. Throws Refused like `viewing`. */
  openSocket(): Promise<WebSocket>;
  /** Returns when the server has seen everything gone. */
  destroy(): Promise<void>;
}

const TIMEOUT_MS = 15_000;
const DESTROY_TIMEOUT_MS = 90_000;

export const sessionApi = (sessionId: string): SessionApi => {
  const base = `/api/auth/session/${encodeURIComponent(sessionId)}`;
  return {
    pair: async (pairingCode) => {
      await call("POST", `${base}/pair`, { pairingCode });
    },
    viewing: async () => {
      const response = await call("GET", `${base}/viewer`);
      const view = (await response.json()) as Omit<Viewing, "leftMs" | "receivedAt">;
      // The two clocks need not agree: what counts is the time left by the server's.
      const serverNow = Date.parse(response.headers.get("date") ?? "") || Date.now();
      return { ...view, leftMs: Date.parse(view.expiresAt) - serverNow, receivedAt: performance.now() };
    },
    openSocket: async () => {
      const { ticket } = (await (await call("POST", `${base}/ticket`)).json()) as { ticket: string };
      const origin = location.origin.replace(/^http/, "ws");
      // The ticket travels as a subprotocol, because an address ends up in logs.
      return new WebSocket(`${origin}${base}/vnc`, ["binary", `sallyport.ticket.${ticket}`]);
    },
    destroy: async () => {
      await call("DELETE", base, undefined, DESTROY_TIMEOUT_MS);
    },
  };
};

const call = async (method: string, path: string, body?: unknown, timeoutMs = TIMEOUT_MS): Promise<Response> => {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(timeoutMs),
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refused(0, "The server does not answer.", { hint: "Check this device's connection." });
  }
  if (!response.ok) throw await refusalOf(response);
  return response;
};

/** From a problem document (RFC 9457), or from the bare status where something in between answered. */
const refusalOf = async (response: Response): Promise<Refused> => {
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json") ?? false;
  if (!isProblem) return new Refused(response.status, `The server answered ${response.status}.`);
  const { detail, ...rest } = (await response.json()) as { detail: string; code: string; hint?: string };
  return new Refused(response.status, detail, rest);
};
