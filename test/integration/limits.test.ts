/** Who is let in at all: the host's limit, and users that can be shown to people. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/state/db.ts";
import { startController } from "../fixtures/controller.ts";

test("a host that is full says so and when to come again; a session that ended makes room", async () => {
  const controller = await startController({ config: { session: { max: 2 } } });
  const start = (userId: string) => controller.client.start({ provider: "oidc", userId });
  const { sessionId } = await start("ada");
  await start("bob");
  await expect(start("eve")).rejects.toMatchObject({ code: "host-full", status: 503, retryAfterSec: 30 });
  await controller.client.destroy(sessionId);
  await start("eve");
  await controller.dispose();
});

test("a user that looks like another is refused in a start and in a key, and so is an old key's", async () => {
  const first = await startController();
  const invisible = "ali\u202ece";
  const malformed = { code: "invalid-request", fields: [expect.stringMatching(/^userId: must be 1-128 of/)] };
  await expect(first.client.start({ provider: "oidc", userId: invisible })).rejects.toMatchObject(malformed);
  await expect(first.client.createKey({ userId: invisible, scopes: ["login"] })).rejects.toMatchObject(malformed);
  await expect(first.client.createKey({ userId: "ada", scopes: ["login"], label: "a\u200bb" })).rejects.toMatchObject({
    fields: ["label: must be visible characters on one line"],
  });

  const left = await first.abandon();
  const db = await openDatabase(first.paths.database);
  await db.updateTable("apiKeys").set({ userId: invisible }).execute();
  await db.destroy();
  const second = await startController(left);
  expect((await second.client.keys()).map(({ userId }) => userId)).toEqual([invisible]);
  await expect(second.client.start({ provider: "oidc" })).rejects.toMatchObject({
    code: "user-id-unusable",
    status: 403,
  });
  await second.dispose();
});
