/** A real OpenID Connect provider (npm `oidc-provider`) with pages of our own. For the demo and the tests only. */
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { appendFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { Provider, type Configuration, type KoaContextWithOIDC } from "oidc-provider";
import { z } from "zod";
import { createInteractions } from "./identity-interactions.ts";
import { account, type IdentityEvent } from "./identity-shapes.ts";
import { errorPage } from "./identity-pages.ts";

const client = z.strictObject({
  clientId: z.string(),
  name: z.string(),
  /** Loopback addresses without a port allow every port (RFC 8252, 7.3). */
  redirectUris: z.array(z.string()).min(1),
  /** What it may ask for besides `openid` and `profile`. */
  scopes: z.array(z.string()).default([]),
});

export const identityProviderConfig = z.strictObject({
  issuer: z.url({ protocol: /^https$/ }),
  address: z.ipv4(),
  port: z.int(),
  /** Paths of PEM files. */
  certificate: z.string(),
  key: z.string(),
  accounts: z.array(account),
  clients: z.array(client),
  /** For tests: gets every code and token that is issued, one a line, so that a test can look for them elsewhere. */
  secretsFile: z.string().optional(),
});
export type IdentityProviderConfig = z.input<typeof identityProviderConfig>;

/** Listens until `signal`; resolves once it has stopped. */
export const serveIdentities = async (
  input: IdentityProviderConfig,
  report: (event: IdentityEvent) => void,
  signal: AbortSignal,
): Promise<void> => {
  const config = identityProviderConfig.parse(input);
  const provider = new Provider(config.issuer, toProviderConfiguration(config, report));
  watch(provider, config.secretsFile, report);
  const interact = createInteractions({ provider, accounts: config.accounts, clients: config.clients, report });
  const answer = provider.callback();
  const server = createServer(
    { cert: await readFile(config.certificate), key: await readFile(config.key) },
    (request, response) => {
      void (request.url?.startsWith("/interaction/") ? interact : answer)(request, response);
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.on("close", resolve);
    signal.addEventListener("abort", () => {
      server.close();
      server.closeAllConnections();
    });
    server.listen(config.port, config.address, () => report({ event: "listening" }));
  });
};

const toProviderConfiguration = (
  config: z.output<typeof identityProviderConfig>,
  report: (event: IdentityEvent) => void,
): Configuration => ({
  clients: config.clients.map((known) => ({
    client_id: known.clientId,
    client_name: known.name,
    application_type: "native",
    token_endpoint_auth_method: "none",
    redirect_uris: known.redirectUris,
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
  })),
  scopes: ["openid", "offline_access", ...config.clients.flatMap((known) => known.scopes)],
  claims: { openid: ["sub"], profile: ["name", "preferred_username"] },
  // The ID token carries the name as well, as most providers do it, though the standard would leave it to userinfo.
  conformIdTokenClaims: false,
  findAccount: (_context, sub) => {
    const found = config.accounts.find((known) => known.sub === sub);
    return found && { accountId: sub, claims: () => ({ sub, name: found.name, preferred_username: found.userName }) };
  },
  // Tools such as wrangler ask for offline_access without prompt=consent and still expect a refresh token.
  issueRefreshToken: (_context, known) => known.grantTypeAllowed("refresh_token"),
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_context, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: [randomBytes(32).toString("base64url")] },
  jwks: { keys: [{ ...newSigningKey(), use: "sig", alg: "RS256", kid: "demo" }] },
  ttl: {
    AccessToken: 3600,
    AuthorizationCode: 60,
    IdToken: 3600,
    RefreshToken: 86_400,
    Interaction: 3600,
    Session: 3600,
    Grant: 86_400,
  },
  renderError: (context, out) => {
    report({ event: "error", message: `${out.error}: ${out.error_description ?? ""}` });
    context.type = "html";
    context.body = errorPage(out.error_description ?? out.error);
  },
});

const newSigningKey = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });

const watch = (provider: Provider, secretsFile: string | undefined, report: (event: IdentityEvent) => void): void => {
  const keep = (...secrets: unknown[]): void => {
    const issued = secrets.filter((secret) => typeof secret === "string");
    if (secretsFile) appendFileSync(secretsFile, issued.map((secret) => `${secret}\n`).join(""), { mode: 0o600 });
  };
  provider.on("authorization.success", (_context, response) => keep(response?.code));
  provider.on("grant.success", (context: KoaContextWithOIDC) => {
    const body = context.body as { access_token: string; refresh_token?: string; id_token?: string };
    keep(body.access_token, body.refresh_token, body.id_token);
    report({
      event: "token",
      sub: context.oidc.entities.Account?.accountId ?? "",
      clientId: context.oidc.entities.Client?.clientId ?? "",
      accessTokenSha256: createHash("sha256").update(body.access_token).digest("hex"),
    });
  });
  const complain = (error: Error): void => report({ event: "error", message: error.message });
  provider.on("authorization.error", (_context, error) => complain(error));
  provider.on("grant.error", (_context, error) => complain(error));
  provider.on("server_error", (_context, error) => complain(error));
};
