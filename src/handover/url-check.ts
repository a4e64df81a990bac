/**
 * What a tool may have opened in somebody's browser. Checked on the requester's side before anything is sent and again by
 * the controller, by this one pure function, each with its own recipe.
 */
import type { ProviderRecipe } from "../contract/provider.ts";
import { AppError } from "../lib/errors.ts";

export const MAX_URL_LENGTH = 8192;

/** First port that needs no privilege: nothing of the guest's own may be shadowed. */
const MIN_PORT = 1024;

const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

/** SHA-256 in base64url without padding, the only shape of an S256 challenge (RFC 7636, 4.2). */
const S256_CHALLENGE = /^[A-Za-z0-9_-]{43}$/;

export interface Callback {
  port: number;
  /** Path of the redirect URI, without query. */
  path: string;
}

export interface CheckedUrl {
  /** Normalised: what is opened is what was checked, whoever parses it. */
  url: string;
  host: string;
  /** Where the browser will be sent back to; null in mode `open`. */
  callback: Callback | null;
  isPkce: boolean;
}

/**
 * Accepts an authorize URL or throws AppError `unprocessable` with one of the codes `url-too-long`, `url-malformed`,
 * `url-not-https`, `url-host-not-listed`, `url-no-pkce`, `url-not-code-flow`, `url-redirect-mismatch`.
 * @param callback what the caller means to listen on; where given, it must be what the URL says.
 */
export const checkAuthorizeUrl = (text: string, recipe: ProviderRecipe, callback?: Callback): CheckedUrl => {
  const url = parseHttpsUrl(text);
  checkHost(url, recipe);
  if (recipe.mode === "open") {
    if (callback) throw mismatch(`${recipe.title} is signed in without a callback, but one was to be caught.`);
    return { url: url.href, host: url.hostname, callback: null, isPkce: false };
  }
  checkCodeFlow(url);
  checkPkce(url);
  return { url: url.href, host: url.hostname, callback: checkRedirect(url, callback), isPkce: true };
};

/** Every https URL in a tool's output that passes the check, in order; a last resort where no browser shim is called. */
export const acceptableUrls = (text: string, recipe: ProviderRecipe): string[] =>
  // The URL must be followed by something that cannot belong to it: a half-read one would pass the check without its end.
  [...text.matchAll(/https:\/\/[^\s"'<>`\p{Cc}]+(?=[\s"'<>`\p{Cc}])/gu)]
    .map(([url]) => url.replace(/[.,;:!)\]]+$/, ""))
    .filter((url) => {
      try {
        checkAuthorizeUrl(url, recipe);
        return true;
      } catch (error) {
        if (error instanceof AppError) return false;
        throw error;
      }
    });

const parseHttpsUrl = (text: string): URL => {
  if (text.length > MAX_URL_LENGTH) {
    throw refuse("url-too-long", `The address to open has ${text.length} characters; ${MAX_URL_LENGTH} are allowed.`);
  }
  if (!URL.canParse(text)) throw refuse("url-malformed", "What was to be opened is not an address at all.");
  const url = new URL(text);
  if (url.protocol !== "https:") {
    throw refuse("url-not-https", `The address to open begins with ${url.protocol} and not with https:.`);
  }
  if (url.username || url.password) {
    // `https://accounts.example@evil.test/` reads like one host and is another.
    throw refuse("url-malformed", "The address to open has a user name in front of its host, as phishing links do.");
  }
  return url;
};

const checkHost = (url: URL, recipe: ProviderRecipe): void => {
  if (recipe.mode === "oidc") {
    if (recipe.issuer === undefined || url.origin !== new URL(recipe.issuer).origin) {
      const expected = recipe.issuer ? new URL(recipe.issuer).origin : "an issuer, and none is configured";
      throw refuse(
        "url-host-not-listed",
        `The address to open is at ${url.origin}, but ${recipe.title} signs in at ${expected}.`,
        `Set issuer of the provider ${recipe.name} to the identity provider's own address.`,
      );
    }
    return;
  }
  if (recipe.hosts.some((pattern) => isHostOf(url.hostname, pattern))) return;
  throw refuse(
    "url-host-not-listed",
    `The address to open is on ${url.hostname}, which is not among the hosts of ${recipe.title} (${recipe.hosts.join(", ")}).`,
    `If ${url.hostname} really belongs to the service, add it to hosts in the recipe ${recipe.name}.`,
  );
};

const isHostOf = (host: string, pattern: string): boolean =>
  pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) && host.length >= pattern.length : host === pattern;

/** PKCE protects a code and nothing else, so a code is all that may come back. */
const checkCodeFlow = (url: URL): void => {
  if (only(url, "response_type") === "code") return;
  throw refuse(
    "url-not-code-flow",
    "The address to open does not ask for an authorization code (response_type=code).",
    "A flow that hands tokens to the browser cannot be relayed; use the tool's device or paste-code login.",
  );
};

const checkPkce = (url: URL): void => {
  // A request object or a pushed request overrules the query, and what it holds cannot be read here (RFC 9101, RFC 9126).
  const isOpaque = url.searchParams.has("request") || url.searchParams.has("request_uri");
  const isS256 =
    only(url, "code_challenge_method") === "S256" && S256_CHALLENGE.test(only(url, "code_challenge") ?? "");
  if (isS256 && !isOpaque) return;
  throw refuse(
    "url-no-pkce",
    isOpaque
      ? "The address to open hides its parameters in a request object, so that its PKCE challenge cannot be checked."
      : "The address to open carries no PKCE challenge (S256): whoever saw the callback could use it.",
    "Use the tool's device, paste-code or key login instead; this one is not relayed.",
  );
};

const checkRedirect = (url: URL, expected: Callback | undefined): Callback => {
  const text = only(url, "redirect_uri");
  if (text === undefined || !URL.canParse(text)) {
    throw mismatch("The address to open does not say, once and readably, where the browser is sent back to.");
  }
  const redirect = new URL(text);
  if (redirect.protocol !== "http:" || !LOOPBACK_HOSTS.includes(redirect.hostname) || redirect.username) {
    throw mismatch(`The browser would be sent back to ${redirect.origin}, which is not this machine's own loopback.`);
  }
  const port = Number(redirect.port || "80");
  if (port < MIN_PORT)
    throw mismatch(`The browser would be sent back to port ${port}; ${MIN_PORT} is the lowest allowed.`);
  if (expected && (expected.port !== port || expected.path !== redirect.pathname)) {
    throw mismatch(
      `The callback to catch is port ${expected.port}, path ${expected.path}, but the address says port ${port}, path ${redirect.pathname}.`,
    );
  }
  return { port, path: redirect.pathname };
};

/** A parameter's value if it is there exactly once: of two, checker and provider might each believe another one. */
const only = (url: URL, name: string): string | undefined => {
  const values = url.searchParams.getAll(name);
  return values.length === 1 ? values[0] : undefined;
};

const mismatch = (sentence: string): AppError =>
  refuse(
    "url-redirect-mismatch",
    sentence,
    "The tool must send the browser back to http://localhost:PORT/… with a port of its own.",
  );

const refuse = (code: string, sentence: string, hint = "Nothing was opened. Check which tool asked for it.") =>
  new AppError("unprocessable", code, sentence, { hint });
