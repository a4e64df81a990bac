/** Mode `oidc`: this program is the public client (OpenID Connect, code flow, PKCE S256, state, nonce). */
import { randomInt } from "node:crypto";
import * as oidc from "openid-client";
import type { CaughtRequest } from "../contract/guest.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { Account, Flow, Tokens } from "./flow.ts";
import { openInGuest, tryAnswer } from "./relay.ts";
import { page } from "./replay.ts";

type OidcRecipe = Extract<ProviderRecipe, { mode: "oidc" }>;

/** Above Linux's range for outgoing connections (32768-60999): nothing in the guest can hold such a port by chance. */
const FIRST_PORT = 61_000;

/** Asks the issuer for its metadata before any machine is started. Throws AppError `oidc-not-configured`, `issuer-…`. */
export const prepareOidc = async (recipe: OidcRecipe): Promise<Flow> => {
  const config = await discover(recipe);
  return async (session, report) => {
    // RFC 8252, 7.3: the literal address, any port. Nobody listens on this machine; the port is the guest's.
    const redirectUri = `http://127.0.0.1:${randomInt(FIRST_PORT, 65_536)}/callback`;
    const verifier = oidc.randomPKCECodeVerifier();
    const state = oidc.randomState();
    const nonce = oidc.randomNonce();
    const url = oidc.buildAuthorizationUrl(config, {
      redirect_uri: redirectUri,
      scope: recipe.scopes.join(" "),
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      nonce,
    });
    await openInGuest(url.href, recipe, session, report);
    const { request, answer } = await session.caught();
    report({ event: "caught" });
    try {
      const grant = await oidc.authorizationCodeGrant(config, callbackUrl(request, redirectUri), {
        pkceCodeVerifier: verifier,
        expectedState: state,
        expectedNonce: nonce,
        idTokenExpected: true,
      });
      const account = await accountOf(config, grant);
      await tryAnswer(answer, page(200, `You are signed in as ${account.name}. This window may be closed.`), report);
      return { account, credential: null, tokens: tokensOf(grant) };
    } catch (error) {
      await tryAnswer(answer, page(400, "You are not signed in. The terminal says why."), report);
      throw refusal(error);
    }
  };
};

const discover = async ({ name, issuer, clientId }: OidcRecipe): Promise<oidc.Configuration> => {
  if (issuer === undefined || clientId === undefined) {
    throw new AppError("invalid", "oidc-not-configured", `The provider ${name} has no issuer or no client id yet.`, {
      hint: `Set providers: {${name}: {issuer: https://…, clientId: …}} in the controller's configuration, or use --recipe FILE.`,
    });
  }
  try {
    return await oidc.discovery(new URL(issuer), clientId, { token_endpoint_auth_method: "none" }, oidc.None());
  } catch (cause) {
    throw new AppError("unavailable", "issuer-unusable", `The issuer ${issuer} cannot be used: ${deepest(cause)}.`, {
      hint: "Check its address. If its certificate is from a company's own authority, set NODE_EXTRA_CA_CERTS to that PEM file.",
      cause,
    });
  }
};

const callbackUrl = ({ method, target }: CaughtRequest, redirectUri: string): URL => {
  if (method !== "GET") {
    throw new AppError("unprocessable", "callback-unexpected", `The browser came back with ${method}, not with GET.`, {
      hint: "The issuer ignores response_mode; ask its administrator.",
    });
  }
  return new URL(target, redirectUri);
};

type Grant = Awaited<ReturnType<typeof oidc.authorizationCodeGrant>>;

const accountOf = async (config: oidc.Configuration, grant: Grant): Promise<Account> => {
  const claims = grant.claims();
  if (!claims) throw new AppError("unprocessable", "no-id-token", "The issuer sent no ID token.");
  const { iss, sub } = claims;
  const name = nameIn(claims) ?? nameIn(await userInfo(config, grant.access_token, sub)) ?? sub;
  return { issuer: iss, sub, name };
};

/** Issuers put a name into the ID token, or only here. It is decoration: the ID token has proven who signed in. */
const userInfo = async (config: oidc.Configuration, accessToken: string, sub: string) => {
  if (config.serverMetadata().userinfo_endpoint === undefined) return {};
  try {
    return await oidc.fetchUserInfo(config, accessToken, sub);
  } catch {
    return {};
  }
};

const nameIn = (claims: Record<string, unknown>): string | undefined =>
  [claims.name, claims.preferred_username, claims.email].find(
    (name): name is string => typeof name === "string" && name !== "",
  );

const tokensOf = (grant: Grant): Tokens => {
  const { access_token, token_type, scope, refresh_token, id_token } = grant;
  const expiresIn = grant.expiresIn();
  const expires_at = expiresIn === undefined ? undefined : new Date(Date.now() + expiresIn * 1000).toISOString();
  return { access_token, token_type, scope, refresh_token, id_token, expires_at };
};

const refusal = (error: unknown): AppError => {
  if (error instanceof AppError) return error;
  const isAnswer = error instanceof oidc.AuthorizationResponseError || error instanceof oidc.ResponseBodyError;
  const said = isAnswer
    ? `${error.error}${error.error_description ? `: ${error.error_description}` : ""}`
    : deepest(error);
  return new AppError("forbidden", "sign-in-refused", `The sign-in was not accepted: ${said}.`, {
    hint: isAnswer
      ? "The identity provider says so; start again, or ask its administrator."
      : "Start the sign-in again.",
    cause: error,
  });
};

/** The innermost cause has the words: "self-signed certificate" and not "fetch failed". */
const deepest = (error: unknown): string =>
  error instanceof Error && error.cause instanceof Error ? deepest(error.cause) : messageOf(error).replace(/\.$/, "");
