/**
 * Who may make a call. Each route declares it with `call`; it is looked at before a byte of the body is read, and a route that
 * does not declare it is refused at start. API calls carry a bearer key, the viewer page the cookie of its pairing.
 */
import type { FastifyRequest, FastifySchema } from "fastify";
import type { KeyStore } from "../access/keys.ts";
import { apiKeyText, type KeyHolder, type Scope } from "../contract/api.ts";
import { AppError } from "../lib/errors.ts";
import type { SessionInfo } from "../session/sessions.ts";
import type { App, HttpContext } from "./context.ts";

const ACCESS = {
  /** No key, no pairing. */
  anyone: {},
  /** Any key. */
  key: { isKeyed: true },
  /** A key with one of the scopes. */
  login: { isKeyed: true, anyOf: ["login", "act-as"] },
  operate: { isKeyed: true, anyOf: ["operate"] },
  /** A key that may see the session `:id`. */
  session: { isKeyed: true, hasSession: true },
  /** The browser that is paired with the session `:id`. */
  paired: { isPaired: true },
  /** Either; without an `Authorization` header it is the browser that asks. */
  "session-or-paired": { isKeyed: true, hasSession: true, isPaired: true },
  /** A one-time ticket, which the route itself uses up. */
  ticket: {},
} satisfies Record<string, Rule>;

interface Rule {
  isKeyed?: true;
  anyOf?: Scope[];
  hasSession?: true;
  isPaired?: true;
}

declare module "fastify" {
  interface FastifyContextConfig {
    access?: keyof typeof ACCESS;
  }
  interface FastifyRequest {
    /** Read by callerOf, sessionOf. */
    caller: KeyHolder | null;
    session: SessionInfo | null;
  }
}

/** What a route says of itself: who may make the call, and what it takes and answers. */
export const call = <Schema extends FastifySchema>(access: keyof typeof ACCESS, schema: Schema) => ({
  config: { access },
  schema,
});

export const VIEWER_COOKIE = "sallyport_viewer";

export const installAccess = (app: App, { config, keys, sessions }: HttpContext): void => {
  app.decorateRequest("caller", null);
  app.decorateRequest("session", null);
  app.addHook("onRoute", ({ method, url, config: declared }) => {
    if (declared?.access === undefined) throw new Error(`${String(method)} ${url} does not say who may call it.`);
  });
  app.addHook("onRequest", async (request) => {
    const { access } = request.routeOptions.config;
    // A call that does not exist.
    if (access === undefined) return;
    if (request.ws && access !== "ticket") {
      throw new AppError("invalid", "no-websocket", "This call cannot be made as a WebSocket.");
    }
    const rule: Rule = ACCESS[access];
    const { id = "" } = request.params as { id?: string };
    if (rule.isPaired && !(rule.isKeyed && request.headers.authorization !== undefined)) {
      await sessions.viewers.requirePaired(id, request.cookies[VIEWER_COOKIE]);
      // Only a form of another site could send a POST without an origin; for a DELETE a browser always names it.
      requireSameOrigin(request, config.publicUrl, request.method === "DELETE");
    } else if (rule.isKeyed) {
      const caller = await requireKey(keys, request, rule.anyOf);
      request.caller = caller;
      if (rule.hasSession) request.session = requireVisible(caller, await sessions.get(id));
    }
  });
};

/** Whether its route asks for a key or a pairing. */
export const isForSomebody = ({ routeOptions: { config } }: FastifyRequest): boolean =>
  config.access !== undefined && Object.keys(ACCESS[config.access]).length > 0;

/** The key's holder, for a route whose access says that there is one. */
export const callerOf = ({ caller }: FastifyRequest): KeyHolder => caller ?? undeclared();

/** The session `:id`, for a route whose access says that the caller may see it. */
export const sessionOf = ({ session }: FastifyRequest): SessionInfo => session ?? undeclared();

const undeclared = (): never => {
  throw new Error("The route's access does not say what its handler asks for.");
};

/** The holder of the request's key. Throws `no-key` or `wrong-key` (401), `missing-scope` (403). */
const requireKey = async (keys: KeyStore, request: FastifyRequest, anyOf: Scope[] = []): Promise<KeyHolder> => {
  const [, key] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? "") ?? [];
  if (key === undefined || !apiKeyText.test(key)) {
    throw new AppError("unauthenticated", "no-key", "This call needs an API key.", {
      hint: "Send it as Authorization: Bearer <key>; sallyport keys add makes one.",
    });
  }
  const holder = await keys.holderOf(key);
  if (!holder) {
    throw new AppError("unauthenticated", "wrong-key", "This API key is unknown or was revoked.", {
      hint: "Ask the operator for another; the operator's own is made anew by root on this machine: sallyport keys admin --new.",
    });
  }
  if (anyOf.length > 0 && !anyOf.some((scope) => holder.scopes.includes(scope))) {
    throw new AppError("forbidden", "missing-scope", `This API key does not have the scope ${anyOf.join(" or ")}.`);
  }
  return holder;
};

/** Whether the key that a long answer was begun with is still good. */
export const isStillAllowed = (keys: KeyStore, request: FastifyRequest): Promise<boolean> =>
  requireKey(keys, request).then(
    () => true,
    (error: unknown) => {
      if (error instanceof AppError) return false;
      throw error;
    },
  );

/** The user a new session is for. Throws `foreign-user` (403). */
export const resolveUser = (holder: KeyHolder, asked: string | undefined): string => {
  if (asked === undefined || asked === holder.userId) return holder.userId;
  if (holder.scopes.includes("act-as")) return asked;
  const sentence = `This API key belongs to ${holder.userId} and may not act for another user.`;
  throw new AppError("forbidden", "foreign-user", sentence, {
    hint: "Leave userId out, or use a key with the scope act-as.",
  });
};

/** A session that is not the caller's does not exist for them. */
const requireVisible = (holder: KeyHolder, session: SessionInfo): SessionInfo => {
  const isTheirs = session.view.userId === holder.userId || session.startedBy === holder.keyId;
  if (isTheirs || holder.scopes.includes("operate")) return session;
  throw new AppError("not-found", "no-session", "There is no such session.", { hint: "sallyport ls shows yours." });
};

/** Pages of other sites may not use a viewer's cookie, nor open its WebSocket. */
export const requireSameOrigin = (request: FastifyRequest, publicUrl: string, isOriginNeeded: boolean): void => {
  const { origin } = request.headers;
  if (origin === undefined ? !isOriginNeeded : origin === new URL(publicUrl).origin) return;
  throw new AppError("forbidden", "foreign-origin", "This call came from a page of another site.", {
    hint: `Open the viewer at ${publicUrl}; if that is not its address, set publicUrl in the configuration.`,
  });
};
