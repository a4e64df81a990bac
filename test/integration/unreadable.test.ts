/** One row of the database that cannot be read costs its own session and no other. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/state/db.ts";
import { startController } from "../fixtures/controller.ts";

test("a controller starts with a row that it cannot read: that session failed and its microVM goes, the others live on", async () => {
  const first = await startController();
  const start = async (): Promise<string> => {
    const { sessionId } = await first.client.start({ provider: "oidc" });
    for await (const view of first.client.events(sessionId)) if (view.state === "ready") break;
    return sessionId;
  };
  const [bad, good] = [await start(), await start()];
  const { id: badKey } = await first.client.createKey({ userId: "ada", scopes: ["login"] });
  const left = await first.abandon();
  const db = await openDatabase(first.paths.database);
  await db.updateTable("sessions").set({ stages: "rubbish" }).where("id", "=", bad).execute();
  await db.updateTable("apiKeys").set({ scopes: "rubbish" }).where("id", "=", badKey).execute();
  await db.destroy();

  const second = await startController(left);
  let last;
  for await (const view of second.client.events(bad)) last = view;
  const failed = { state: "failed", outcome: "failed", verdict: { code: "record-unreadable" }, hasReceipt: true };
  expect(last).toMatchObject(failed);
  const states = new Map((await second.client.sessions()).map(({ sessionId, state }) => [sessionId, state]));
  expect(states).toEqual(
    new Map([
      [bad, "failed"],
      [good, "ready"],
    ]),
  );
  expect((await second.client.vms()).map(({ sessionId }) => sessionId)).toEqual([good]);
  expect((await second.client.keys()).find(({ id }) => id === badKey)).toMatchObject({ scopes: [] });
  expect(second.log()).toContain(`"sessionId":"${bad}","columns":"stages"`);
  await second.dispose();
});

test("a controller that can take up no session listens all the same, and takes them up when it can", async () => {
  const first = await startController();
  const { sessionId } = await first.client.start({ provider: "oidc" });
  for await (const view of first.client.events(sessionId)) if (view.state === "ready") break;
  const left = await first.abandon();
  const rename = async (from: string, to: string): Promise<void> => {
    const db = await openDatabase(first.paths.database);
    await db.schema.alterTable(from).renameTo(to).execute();
    await db.destroy();
  };
  await rename("sessions", "elsewhere");
  const second = await startController(left);
  expect(await second.client.keys()).not.toEqual([]);
  expect(second.log()).toContain("no session was taken up yet");
  await second.stop();
  await rename("elsewhere", "sessions");
  const third = await startController(left);
  expect(await third.client.session(sessionId)).toMatchObject({ state: "ready" });
  await third.dispose();
});
