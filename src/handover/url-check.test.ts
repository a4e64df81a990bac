import { describe, expect, test } from "vitest";
import { providerRecipe } from "../contract/provider.ts";
import { acceptableUrls, checkAuthorizeUrl } from "./url-check.ts";

const relay = providerRecipe.parse({
  name: "tool",
  title: "Tool",
  mode: "relay",
  command: ["tool", "login"],
  hosts: ["login.example.com", "*.wild.example.com"],
});
const open = providerRecipe.parse({ ...relay, mode: "open" });
const oidc = providerRecipe.parse({
  name: "oidc",
  title: "Company",
  mode: "oidc",
  issuer: "https://idp.example.com:8443/realm",
});

const GOOD = {
  response_type: "code",
  client_id: "x",
  state: "s",
  code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
  code_challenge_method: "S256",
  redirect_uri: "http://localhost:8976/oauth/callback",
};

/** The good URL with parameters replaced, or left out where undefined. */
const url = (
  changes: Record<string, string | undefined> = {},
  base = "https://login.example.com/authorize",
): string => {
  const made = new URL(base);
  for (const [name, value] of Object.entries({ ...GOOD, ...changes })) {
    if (value !== undefined) made.searchParams.set(name, value);
  }
  return made.href;
};

describe("checkAuthorizeUrl accepts", () => {
  test("a PKCE code flow, and says where the callback will arrive", () => {
    expect(checkAuthorizeUrl(url(), relay)).toEqual({
      url: url(),
      host: "login.example.com",
      callback: { port: 8976, path: "/oauth/callback" },
      isPkce: true,
    });
  });

  test.each(["http://127.0.0.1:1024/cb", "http://[::1]:65535/cb", "http://localhost:1455/auth/callback?x=1"])(
    "redirect to %s",
    (redirect_uri) => {
      expect(checkAuthorizeUrl(url({ redirect_uri }), relay).callback?.port).toBeGreaterThanOrEqual(1024);
    },
  );

  test("a host below a wildcard", () => {
    expect(checkAuthorizeUrl(url({}, "https://a.b.wild.example.com/"), relay).host).toBe("a.b.wild.example.com");
  });

  test("the issuer's origin in mode oidc", () => {
    expect(checkAuthorizeUrl(url({}, "https://idp.example.com:8443/auth"), oidc).isPkce).toBe(true);
  });

  test("a bare page in mode open", () => {
    expect(checkAuthorizeUrl("https://login.example.com/device", open).callback).toBeNull();
  });
});

describe("checkAuthorizeUrl refuses", () => {
  test.each<[string, string]>([
    ["url-too-long", url({ state: "x".repeat(8192) })],
    ["url-malformed", "not an address"],
    ["url-malformed", "https://login.example.com:pw@evil.test/"],
    ["url-malformed", url({}, "https://evil@login.example.com/")],
    ["url-not-https", url({}, "http://login.example.com/")],
    ["url-not-https", "file:///etc/passwd"],
    ["url-not-https", "javascript:alert(1)"],
    ["url-host-not-listed", url({}, "https://evil.test/login.example.com")],
    ["url-host-not-listed", url({}, "https://login.example.com.evil.test/")],
    ["url-host-not-listed", url({}, "https://wild.example.com/")],
    ["url-host-not-listed", url({}, "https://evilwild.example.com/")],
    ["url-not-code-flow", url({ response_type: "token" })],
    ["url-not-code-flow", url({ response_type: "code id_token" })],
    ["url-not-code-flow", url({ response_type: undefined })],
    ["url-no-pkce", url({ code_challenge_method: "plain" })],
    ["url-no-pkce", url({ code_challenge_method: undefined })],
    ["url-no-pkce", url({ code_challenge: undefined })],
    ["url-no-pkce", url({ code_challenge: "short" })],
    ["url-no-pkce", `${url()}&code_challenge=${"A".repeat(43)}`],
    ["url-no-pkce", url({ request_uri: "urn:ietf:params:oauth:request_uri:x" })],
    ["url-no-pkce", url({ request: "eyJhbGciOiJub25lIn0.e30." })],
    ["url-redirect-mismatch", url({ redirect_uri: undefined })],
    ["url-redirect-mismatch", `${url()}&redirect_uri=http%3A%2F%2Flocalhost%3A9000%2F`],
    ["url-redirect-mismatch", url({ redirect_uri: "https://localhost:8976/" })],
    ["url-redirect-mismatch", url({ redirect_uri: "http://evil.test:8976/" })],
    ["url-redirect-mismatch", url({ redirect_uri: "http://127.0.0.1.evil.test:8976/" })],
    ["url-redirect-mismatch", url({ redirect_uri: "http://0.0.0.0:8976/" })],
    ["url-redirect-mismatch", url({ redirect_uri: "http://localhost:1023/" })],
    ["url-redirect-mismatch", url({ redirect_uri: "http://localhost/" })],
    ["url-redirect-mismatch", url({ redirect_uri: "urn:ietf:wg:oauth:2.0:oob" })],
  ])("%s: %s", (code, text) => {
    expect(() => checkAuthorizeUrl(text, relay)).toThrow(expect.objectContaining({ code, kind: "unprocessable" }));
  });

  test.each([
    { port: 8977, path: "/oauth/callback" },
    { port: 8976, path: "/other" },
  ])("a callback unlike redirect_uri: %o", (callback) => {
    expect(() => checkAuthorizeUrl(url(), relay, callback)).toThrow(
      expect.objectContaining({ code: "url-redirect-mismatch" }),
    );
  });

  test("a callback in mode open", () => {
    expect(() => checkAuthorizeUrl(url(), open, { port: 8976, path: "/oauth/callback" })).toThrow(
      expect.objectContaining({ code: "url-redirect-mismatch" }),
    );
  });

  test("another port of the issuer's host, and any host while no issuer is configured", () => {
    const without = providerRecipe.parse({ name: "oidc", title: "Company", mode: "oidc" });
    for (const [recipe, base] of [
      [oidc, "https://idp.example.com/auth"],
      [without, "https://idp.example.com:8443/auth"],
    ] as const) {
      expect(() => checkAuthorizeUrl(url({}, base), recipe)).toThrow(
        expect.objectContaining({ code: "url-host-not-listed" }),
      );
    }
  });
});

describe("acceptableUrls", () => {
  test("finds the sign-in address between others, and strips a sentence's full stop", () => {
    const text = `Docs: https://docs.example.com/ Visit \u001b[1m${url()}\u001b[0m to sign in, or https://login.example.com/help.\n`;
    expect(acceptableUrls(text, relay)).toEqual([url()]);
    expect(acceptableUrls(text, open)).toEqual([url(), "https://login.example.com/help"]);
  });

  test("does not take one whose end has not been read yet", () => {
    expect(acceptableUrls(`Visit ${url()}`, relay)).toEqual([]);
  });
});
