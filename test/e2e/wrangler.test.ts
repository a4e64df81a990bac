/** A person signs the real, unmodified `wrangler` in: mode relay, callback on its own fixed port. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { ISSUER } from "../../rig/deployment.ts";
import { IDENTITY_PROVIDER_NAME } from "../../rig/world.ts";
import { RESTORE_STAGES } from "../../src/contract/session.ts";
import { verifyReceipt } from "../../src/handover/receipt.ts";
import { filesWith, linesOf } from "./find-text.ts";
import { installWrangler } from "./install-wrangler.ts";
import { createSignInWorld, type SignInWorld } from "./sign-in.ts";

const CLIENT_ID = "wrangler-test";

/** What wrangler 4.86.0 asks for; it sends no `openid`. */
const SCOPES = `
  account:read user:read workers:write workers_kv:write workers_routes:write workers_scripts:write workers_tail:read d1:write
  pages:write zone:read ssl_certs:write ai:write ai-search:write ai-search:run queues:write pipelines:write
  secrets_store:write artifacts:write flagship:write containers:write cloudchamber:write connectivity:admin
  email_routing:write email_sending:write browser:write`
  .trim()
  .split(/\s+/);

let world: SignInWorld;
let home: string;
let result: Awaited<ReturnType<SignInWorld["signIn"]>>;

describe("mode relay with the real wrangler", () => {
  beforeAll(async () => {
    const cacheDir = inject("imageDataDir");
    const wrangler = await installWrangler(cacheDir);
    home = await mkdtemp(join(tmpdir(), "sallyport-wrangler-"));
    const redirectUris = ["http://localhost:8976/oauth/callback"];
    world = await createSignInWorld("wrangler", cacheDir, {
      clients: [{ clientId: CLIENT_ID, name: "Wrangler", redirectUris, scopes: SCOPES }],
      providers: {
        wrangler: {
          // Not by its name: its first line asks for whatever `node` is on the PATH.
          command: [process.execPath, wrangler, "login"],
          hosts: [IDENTITY_PROVIDER_NAME],
          env: {
            HOME: home,
            XDG_CONFIG_HOME: join(home, ".config"),
            WRANGLER_SEND_METRICS: "false",
            WRANGLER_CLIENT_ID: CLIENT_ID,
            WRANGLER_AUTH_DOMAIN: IDENTITY_PROVIDER_NAME,
            WRANGLER_AUTH_URL: `${ISSUER}/auth`,
            WRANGLER_TOKEN_URL: `${ISSUER}/token`,
          },
        },
      },
    });
    result = await world.signIn("wrangler");
  }, 15 * 60_000);

  afterAll(async () => {
    await world?.destroy();
    await rm(home, { recursive: true, force: true });
  });

  test("the browser was a clone of the warm snapshot", () => {
    const { stages } = result;
    expect(
      stages.map(({ stage }) => stage),
      stages.map(({ note = "" }) => note).join(),
    ).toEqual(RESTORE_STAGES);
  });

  test("wrangler's own file, written by wrangler, holds the tokens that the provider issued", async () => {
    const config = await readFile(join(home, ".config", ".wrangler", "config", "default.toml"), "utf8");
    const accessToken = /^oauth_token = "(.+)"$/m.exec(config)?.[1] ?? "";
    expect(world.events.filter(({ event }) => event === "token")).toEqual([
      {
        event: "token",
        sub: world.account.sub,
        clientId: CLIENT_ID,
        accessTokenSha256: createHash("sha256").update(accessToken).digest("hex"),
      },
    ]);
    const [, , refreshToken] = await linesOf(world.secretsFile);
    expect(config).toContain(`refresh_token = "${refreshToken}"`);
  });

  test("the microVM is gone, and the receipt says so", () => {
    expect(verifyReceipt(result.receipt)).toBe(true);
    expect(result.receipt.body).toMatchObject({ provider: "wrangler", outcome: "signed-in" });
    expect(result.receipt.body.gone.map(({ kind }) => kind)).toContain("process");
  });

  test("password, code and tokens are nowhere but with wrangler", async () => {
    const issued = await linesOf(world.secretsFile);
    expect(await filesWith(home, issued[1] ?? "")).not.toEqual([]);
    for (const secret of [world.account.password, ...issued]) {
      expect(await filesWith(world.dataDir, secret)).toEqual([]);
      expect(await filesWith(world.logDir, secret)).toEqual([]);
    }
  });
});
