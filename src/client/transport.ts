/**
 * HTTP to one controller: where it is, the key, and every failure as an AppError with a sentence. A key goes over TLS or to a
 * socket that nobody else on this machine can have put there: on 127.0.0.1 whoever comes first may listen.
 */
import { connect } from "node:net";
import { resolve } from "node:path";
import { Agent, fetch, type buildConnector, type Response } from "undici";
import { apiKeyText, problem } from "../contract/api.ts";
import { AppError, errnoOf, kindOfStatus, messageOf } from "../lib/errors.ts";
import { requireGuardedSocket } from "../lib/guarded-path.ts";
import { withoutUser } from "../lib/redact.ts";

export interface TransportOptions {
  /** `https://host:port`, or `unix:/path`. */
  url: string;
  /** API key; leave out for calls that need none. */
  key?: string | undefined;
  /** Ends every call. */
  signal?: AbortSignal | undefined;
}

export interface RequestOptions {
  method?: "GET" | "POST" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
  accept?: string;
  /** Milliseconds until the answer's head must be there; default 30 000. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** Milliseconds without a byte after which a stream counts as dead; its reader then connects again. */
const IDLE_MS = 45_000;

/**
 * Throws AppError `url-invalid`, `url-insecure`, `key-malformed` at once. `request` throws AppError: `controller-unreachable`,
 * `controller-silent`, or the controller's own problem with its code, sentence, hint and fields.
 */
export const createTransport = ({ url, key, signal }: TransportOptions) => {
  const { origin, socketPath } = parseUrl(url);
  if (key !== undefined && !apiKeyText.test(key)) {
    // Not quoted: it may be a good one with a line's end too many.
    const sentence = "What is given as the API key is none: keys are 1-200 visible ASCII characters.";
    throw new AppError("invalid", "key-malformed", sentence, {
      hint: "Copy the key again, without spaces or line ends: SALLYPORT_KEY, --key, or admin.key in the data directory.",
    });
  }
  const dispatcher = new Agent({
    bodyTimeout: IDLE_MS,
    connect: socketPath ? connectGuarded(socketPath) : { timeout: 10_000 },
  });

  /** The answer, if its status is 2xx; its body is still to be read. */
  const request = async (path: string, options: RequestOptions = {}): Promise<Response> => {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), options.timeoutMs ?? 30_000);
    const callers = anyOf(signal, options.signal);
    try {
      const response = await fetch(origin + path, {
        method: options.method ?? "GET",
        dispatcher,
        redirect: "error",
        signal: AbortSignal.any([deadline.signal, callers]),
        headers: {
          accept: options.accept ?? "application/json",
          ...(key ? { authorization: `Bearer ${key}` } : {}),
          ...(options.body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      });
      if (!response.ok) throw await problemOf(response);
      return response;
    } catch (error) {
      callers.throwIfAborted();
      if (error instanceof AppError) throw error;
      if (error instanceof Error && error.cause instanceof AppError) throw error.cause;
      if (deadline.signal.aborted) {
        throw new AppError("timeout", "controller-silent", `The controller at ${url} did not answer in time.`, {
          hint: "See its log; a machine that is short of memory or disk answers late.",
          cause: error,
        });
      }
      throw unreachable(url, error);
    } finally {
      clearTimeout(timer);
    }
  };

  return { request, close: () => dispatcher.destroy() };
};

/** Aborted with the first of those that are there. */
export const anyOf = (...signals: (AbortSignal | undefined)[]): AbortSignal =>
  AbortSignal.any(signals.filter((one) => one !== undefined));

/** A body of JSON or a sentence about what came instead. */
export const readJson = async (response: Response): Promise<unknown> => {
  const text = await response.text();
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new AppError("internal", "bad-answer", `What answered at ${response.url} is not Sallyport: no JSON came.`, {
      hint: "Check --url.",
      cause,
    });
  }
};

/** Looks at the socket before it connects and again afterwards: nothing is sent to one that was exchanged in between. */
const connectGuarded =
  (path: string): buildConnector.connector =>
  (_options, done) => {
    const refuse = (error: unknown): void => done(error instanceof Error ? error : new Error(String(error)), null);
    try {
      const before = requireGuardedSocket(path);
      const socket = connect(path);
      socket.once("error", refuse).once("connect", () => {
        try {
          const after = requireGuardedSocket(path);
          if (after.ino !== before.ino || after.dev !== before.dev) throw exchanged(path);
          socket.off("error", refuse);
          done(null, socket);
        } catch (error) {
          socket.destroy();
          refuse(error);
        }
      });
    } catch (error) {
      refuse(error);
    }
  };

const exchanged = (path: string): AppError =>
  new AppError("conflict", "socket-exchanged", `Another socket was put at ${path} in this very moment.`, {
    hint: "If the controller was just started anew, try again.",
  });

const parseUrl = (url: string): { origin: string; socketPath?: string } => {
  if (url.startsWith("unix:/")) return { origin: "http://localhost", socketPath: resolve(url.slice("unix:".length)) };
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !["http:", "https:"].includes(parsed.protocol) || parsed.href !== `${parsed.origin}/`) {
    throw new AppError("invalid", "url-invalid", `${withoutUser(url)} is not the address of a controller.`, {
      hint: "Use https://host[:port] or unix:/path/to/socket.",
    });
  }
  if (parsed.protocol === "http:") {
    const sentence = `The key would go unencrypted to whoever listens at ${url}; on this machine, too, that may be any user's program.`;
    throw new AppError("invalid", "url-insecure", sentence, {
      hint: "On the controller's machine leave --url out: its socket is found. From elsewhere use https://, or ssh -L $HOME/sallyport.sock:/run/sallyport/api.sock HOST, then --url unix:$HOME/sallyport.sock.",
    });
  }
  return { origin: parsed.origin };
};

const problemOf = async (response: Response): Promise<AppError> => {
  const parsed = problem.safeParse(await readJson(response));
  if (!parsed.success) {
    return new AppError("internal", "bad-answer", `The controller answered ${response.status} without saying why.`, {
      hint: "Check --url, and that client and controller are of the same version.",
    });
  }
  const { code, detail, hint, fields } = parsed.data;
  const retryAfterSec = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new AppError(kindOfStatus(response.status), code, detail, {
    ...(hint === undefined ? {} : { hint }),
    ...(fields === undefined ? {} : { fields }),
    ...(Number.isFinite(retryAfterSec) ? { retryAfterSec } : {}),
  });
};

const unreachable = (url: string, error: unknown): AppError => {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const isNobodyThere = ["ECONNREFUSED", "ENOENT"].includes(errnoOf(cause) ?? "");
  const sentence = isNobodyThere
    ? `No controller answers at ${url}.`
    : `The controller at ${url} cannot be reached: ${messageOf(cause)}.`;
  return new AppError("unavailable", "controller-unreachable", sentence, {
    hint: "Is the controller running (sudo sallyport up)? Has it a configuration of its own? Give --config. Is it elsewhere? Give --url. If it runs and its socket is gone, restart it: sessions go on.",
    cause: error,
  });
};
