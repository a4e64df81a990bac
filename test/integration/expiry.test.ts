/** A session ends when its time is up, also when that comes under another controller, or came while there was none. */
import { expect, test } from "vitest";
import { openDatabase } from "../../src/state/db.ts";
import { startController } from "../fixtures/controller.ts";

test.each([
  ["soon after a restart", 2000],
  ["while no controller ran", -2000],
])("a session whose time is up %s ends by itself", async (_, leftMs) => {
  const first = await startController();
  const { sessionId } = await first.client.start({ provider: "oidc" });
  for await (const view of first.client.events(sessionId)) if (view.state === "ready") break;
  const left = await first.abandon();
  const db = await openDatabase(first.paths.database);
  const expiresAt = new Date(Date.now() + leftMs).toISOString();
  await db.updateTable("sessions").set({ expiresAt }).execute();
  await db.destroy();
  const second = await startController(left);
  let last;
  for await (const view of second.client.events(sessionId)) last = view;
  expect(last).toMatchObject({ state: "destroyed", outcome: "expired", hasReceipt: true });
  expect(await second.client.vms()).toEqual([]);
  await second.dispose();
});
