/** The sealed result on its way to the requester, whatever breaks meanwhile: real controllers, one after the other, and a fake machine. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { caughtRequest } from "../../src/contract/guest.ts";
import { createRecipient, keyThumbprint } from "../../src/handover/sealing.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const authorizeUrl = new URL("https://login.sallyport.test/auth");
for (const [key, value] of Object.entries({
  response_type: "code",
  code_challenge: createHash("sha256").update("verifier").digest("base64url"),
  code_challenge_method: "S256",
  redirect_uri: "http://127.0.0.1:4321/callback",
})) {
  authorizeUrl.searchParams.set(key, value);
}

/** A session whose guest has caught the callback as soon as the URL is open, and its requester. */
const signIn = async (controller: TestController) => {
  const recipient = await createRecipient();
  const started = await controller.client.start({ provider: "oidc", recipientKey: recipient.publicKey });
  const { sessionId, provider, userId, expiresAt } = started;
  for await (const view of controller.client.events(sessionId)) if (view.state === "ready") break;
  await controller.client.open(sessionId, { url: authorizeUrl.href, callback: { port: 4321, path: "/callback" } });
  const context = { sessionId, provider, userId, expiresAt, keyThumbprint: keyThumbprint(recipient.publicKey) };
  return {
    sessionId,
    open: (sealed: { enc: string; ciphertext: string }) => recipient.open(sealed, context),
  };
};

/** Asked again while it is awaited alone: a controller that was just started does not say that it is over. */
const fetched = async ({ client }: TestController, sessionId: string) => {
  for (let tries = 0; tries < 200; tries++) {
    const sealed = await client.credentials(sessionId);
    if (sealed) return sealed;
    await sleep(50);
  }
  throw new Error("the result never came");
};

const caught = { method: "GET", target: "/callback?code=1", rawHeaders: [], body: "" };

test("a controller that is away between the catch and the fetch loses nothing; nor does an answer that is lost", async () => {
  const first = await startController({ behaviour: () => ({ caught }) });
  const { sessionId, open } = await signIn(first);
  // Whether it had the box already or not: it is gone with the process.
  const second = await first.restart();
  const sealed = await fetched(second, sessionId);
  expect(caughtRequest.parse(JSON.parse(Buffer.from((await open(sealed)).plaintext).toString()))).toEqual(caught);
  expect((await second.client.session(sessionId)).credential).toBe("taken");
  expect(await second.client.credentials(sessionId)).toEqual(sealed);

  const third = await second.restart();
  expect(await fetched(third, sessionId)).toEqual(sealed);
  const box = await open(sealed);
  const answer = { status: 200, headers: [], body: "" };
  await third.client.answer(sessionId, await box.sealAnswer(Buffer.from(JSON.stringify(answer))));
  await expect(third.client.credentials(sessionId)).rejects.toMatchObject({ code: "credential-taken" });

  const fourth = await third.restart();
  await expect(fourth.client.credentials(sessionId)).rejects.toMatchObject({ code: "credential-taken" });
  const { body } = await fourth.client.destroy(sessionId);
  expect(body.outcome).toBe("signed-in");
  await fourth.dispose();
});

test("the result is on no disk of the controller, at no time", async () => {
  const controller = await startController({ behaviour: () => ({ caught }) });
  const { sessionId } = await signIn(controller);
  const { ciphertext } = await fetched(controller, sessionId);
  const left = await controller.abandon();
  const files = await readdir(controller.paths.root, { recursive: true, withFileTypes: true });
  for (const file of files) {
    if (!file.isFile() || file.name === "calls.jsonl") continue;
    expect(await readFile(join(file.parentPath, file.name), "latin1"), file.name).not.toContain(ciphertext);
  }
  await (await startController(left)).dispose();
});
