/** A person signs the command line itself in, through Firefox in a microVM, at a real OpenID Connect provider. */
import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createTransport } from "../../src/client/transport.ts";
import { ISSUER } from "../../rig/deployment.ts";
import { RESTORE_STAGES } from "../../src/contract/session.ts";
import { verifyReceipt } from "../../src/handover/receipt.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { KINDS_OF_A_FAKE, kindsOf } from "../fixtures/receipt.ts";
import { filesWith, linesOf } from "./find-text.ts";
import { createSignInWorld, type SignInWorld } from "./sign-in.ts";

let world: SignInWorld;
let result: Awaited<ReturnType<SignInWorld["signIn"]>>;
let tokenFile: string;

describe("mode oidc", () => {
  beforeAll(async () => {
    world = await createSignInWorld("oidc", inject("imageDataDir"));
    tokenFile = join(world.deployment.world.directory, "tokens.json");
    result = await world.signIn("oidc", ["--token-file", tokenFile]);
  }, 10 * 60_000);

  afterAll(() => world?.destroy());

  test("the browser was a clone of the warm snapshot", () => {
    const { stages } = result;
    expect(
      stages.map(({ stage }) => stage),
      stages.map(({ note = "" }) => note).join(),
    ).toEqual(RESTORE_STAGES);
  });

  test("who signed in is who the terminal says", () => {
    expect(result.account).toEqual({ issuer: ISSUER, sub: world.account.sub, name: world.account.name });
  });

  test("the tokens are the ones the provider issued to that subject", async () => {
    const tokens = JSON.parse(await readFile(tokenFile, "utf8")) as { access_token: string; id_token: string };
    const claims = JSON.parse(Buffer.from(tokens.id_token.split(".")[1] ?? "", "base64url").toString()) as object;
    expect(claims).toMatchObject({ iss: ISSUER, sub: world.account.sub, name: world.account.name });
    expect(world.events.filter(({ event }) => event === "token")).toEqual([
      {
        event: "token",
        sub: world.account.sub,
        clientId: "sallyport-demo",
        accessTokenSha256: createHash("sha256").update(tokens.access_token).digest("hex"),
      },
    ]);
    expect((await stat(tokenFile)).mode & 0o777).toBe(0o600);
  });

  test("the receipt is this controller's and names everything the microVM had", async () => {
    const { receipt } = result;
    expect(verifyReceipt(receipt)).toBe(true);
    expect(verifyReceipt({ ...receipt, body: { ...receipt.body, outcome: "failed" } })).toBe(false);
    expect(receipt.body).toMatchObject({ sessionId: result.started.sessionId, outcome: "signed-in" });
    expect(kindsOf(receipt)).toEqual(KINDS_OF_A_FAKE);
  });

  test("what was handed over once is not handed over again", async () => {
    const key = (await readFile(dataPaths(world.dataDir).adminKey, "utf8")).trim();
    const transport = createTransport({ url: world.deployment.apiUrl, key });
    const path = `/api/auth/session/${result.started.sessionId}/credentials`;
    await expect(transport.request(path)).rejects.toMatchObject({ status: 410 });
    await transport.close();
  });

  test("password, code and tokens are in no log, database, evidence or other file", async () => {
    // That the search finds what is there: the session's id is in the database, the client's id in the provider's log.
    const { database } = dataPaths(world.dataDir);
    const holders = await filesWith(world.dataDir, result.started.sessionId);
    expect(holders.some((file) => [database, `${database}-wal`].includes(file))).toBe(true);
    expect(await filesWith(world.logDir, "sallyport-demo")).toContain(join(world.logDir, "identity-provider.log"));

    const issued = await linesOf(world.secretsFile);
    expect(issued.length).toBeGreaterThanOrEqual(3);
    for (const secret of [world.account.password, ...issued]) {
      expect(await filesWith(world.dataDir, secret)).toEqual([]);
      expect(await filesWith(world.logDir, secret)).toEqual([]);
    }
  });
});
