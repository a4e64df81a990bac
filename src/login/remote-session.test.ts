import { expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import type { StartResponse } from "../contract/api.ts";
import { createRecipient, keyThumbprint, sealTo } from "../handover/sealing.ts";
import { AppError } from "../lib/errors.ts";
import { createRemoteSession } from "./remote-session.ts";

const started = {
  sessionId: "ses_1",
  provider: "oidc",
  userId: "ada",
  expiresAt: "2026-01-01T00:15:00.000Z",
} as StartResponse;

/** The requester of a session whose result waits; `credentials` answers one by one. */
const requester = async (credentials: Client["credentials"]) => {
  const recipient = await createRecipient();
  const view = { credential: "waiting", state: "active", createdAt: started.expiresAt, expiresAt: started.expiresAt };
  const client = {
    events: async function* () {
      yield view;
      await new Promise(() => {});
    },
    credentials,
  } as unknown as Client;
  const signal = new AbortController().signal;
  return { recipient, session: createRemoteSession({ client, started, recipient, signal, onView: () => {} }) };
};

test("a result whose answer was lost, or whose controller is being started anew, is asked for again", async () => {
  const lost = new AppError("unavailable", "controller-unreachable", "No controller answers.");
  const answers: (() => Promise<Awaited<ReturnType<Client["credentials"]>>>)[] = [
    () => Promise.reject(lost),
    async () => undefined,
  ];
  const { recipient, session } = await requester(async () => (await answers.shift()?.()) ?? sealed);
  const request = { method: "GET", target: "/?code=1", rawHeaders: [], body: "" };
  const { sessionId, provider, userId, expiresAt } = started;
  const context = { sessionId, provider, userId, expiresAt, keyThumbprint: keyThumbprint(recipient.publicKey) };
  const { sealed } = await sealTo(recipient.publicKey, context, Buffer.from(JSON.stringify(request)));
  answers.push(async () => sealed);
  expect((await session.caught()).request).toEqual(request);
  session.close();
});

test("what the controller says in words is not asked twice", async () => {
  let asked = 0;
  const { session } = await requester(async () => {
    asked += 1;
    throw new AppError("gone", "session-over", "The session is over.");
  });
  await expect(session.caught()).rejects.toMatchObject({ code: "session-over" });
  expect(asked).toBe(1);
  session.close();
});
