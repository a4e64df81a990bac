import { expect, test } from "vitest";
import { RECEIPT } from "../../test/fixtures/receipt.ts";
import { openDatabase } from "../state/db.ts";
import { sessionReader } from "./row.ts";
import { newSession } from "./session.ts";
import { createSessionStore } from "./store.ts";

test.each<[string, Record<string, unknown>, object]>([
  ["state", { state: "rubbish" }, {}],
  ["stages", { stages: "[{" }, { stages: [] }],
  ["verdict", { verdict: "{}" }, {}],
  ["outcome", { outcome: "rubbish" }, {}],
  ["receipt", { state: "destroyed", receipt: "rubbish" }, { receipt: null }],
  ["createdAt", { createdAt: "rubbish" }, {}],
  ["verdict, outcome", { verdict: "null", outcome: "", receipt: JSON.stringify(RECEIPT) }, { receipt: RECEIPT }],
])(
  "a row whose %s cannot be read is a failed session's, told once; no other is lost by it",
  async (columns, spoilt, rest) => {
    const db = await openDatabase(":memory:");
    const told: string[] = [];
    const store = createSessionStore(
      db,
      sessionReader((...what) => told.push(what.join(": "))),
    );
    const asked = { userId: "ada", startedBy: "key_1", ttlSec: 900 };
    for (const id of ["ses_good", "ses_bad"])
      await store.insert({ ...newSession({ provider: "oidc" }, asked), id }, "");
    await db.updateTable("sessions").set(spoilt).where("id", "=", "ses_bad").execute();

    const failed = { state: "failed", outcome: "failed", verdict: { code: "record-unreadable" }, ...rest };
    expect(await store.get("ses_bad")).toMatchObject(failed);
    const listed = new Map((await store.list({ limit: 9 })).map(({ session }) => [session.id, session]));
    expect(listed.get("ses_bad")).toMatchObject(failed);
    expect(listed.get("ses_good")).toMatchObject({ state: "requested", verdict: null });
    expect(await store.unfinished()).toContain("ses_good");
    expect(told).toEqual([`ses_bad: ${columns}`]);
    await db.destroy();
  },
);

test("what was unreadable is made good by the next change", async () => {
  const db = await openDatabase(":memory:");
  const store = createSessionStore(db);
  const session = newSession({ provider: "oidc" }, { userId: "ada", startedBy: "key_1", ttlSec: 900 });
  await store.insert(session, "");
  await db.updateTable("sessions").set({ stages: "rubbish" }).execute();
  const found = await store.get(session.id);
  const ended = await store.change(found!, { receipt: RECEIPT });
  expect(await store.get(session.id)).toEqual(ended);
  await db.destroy();
});
