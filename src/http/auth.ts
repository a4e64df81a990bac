/** Who is calling. API calls carry a bearer key; the viewer page carries the cookie of its pairing. */
import type { FastifyRequest } from "fastify";
import type { Scope } from "../contract/api.ts";
import { AppError } from "../lib/errors.ts";
import type { Session } from "../session/session.ts";
import type { KeyHolder, KeyStore } from "./keys.ts";

export const VIEWER_COOKIE = "sallyport_viewer";

/** The holder of the request's key. Throws `no-key` or `wrong-key` (401), `missing-scope` (403). */
export const requireKey = async (keys: KeyStore, request: FastifyRequest, ...anyOf: Scope[]): Promise<KeyHolder> => {
  const [, key] = /^Bearer ([\x21-\x7e]{1,200})$/i.exec(request.headers.authorization ?? "") ?? [];
  if (key === undefined) {
    throw new AppError("unauthenticated", "no-key", "This call needs an API key.", {
      hint: "Send it as Authorization: Bearer <key>; sallyport keys add makes one.",
    });
  }
  const holder = await keys.holderOf(key);
  if (!holder) throw new AppError("unauthenticated", "wrong-key", "This API key is unknown or was revoked.");
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
  throw new AppError(
    "forbidden",
    "foreign-user",
    `This API key belongs to ${holder.userId} and may not act for another user.`,
    {
      hint: "Leave userId out, or use a key with the scope act-as.",
    },
  );
};

/** A session that is not the caller's does not exist for them. */
export const requireVisible = (holder: KeyHolder, session: Session): Session => {
  const isTheirs = session.userId === holder.userId || session.startedBy === holder.keyId;
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
