import { CompiledQuery, SqliteQueryCompiler, type KyselyPlugin } from "kysely";
import { beforeEach, describe, expect, test } from "vitest";
import { RECEIPT } from "../../test/fixtures/receipt.ts";
import { createLedger } from "../microvm/ledger.ts";
import { createMicrovmStore, type Microvm } from "../microvm/store.ts";
import { openDatabase, type Db } from "../state/db.ts";
import { forgetHistory } from "./history.ts";
import { newSession, type Session } from "./session.ts";
import { createSessionStore } from "./store.ts";

const DAY_MS = 86_400_000;
const NOW = Date.parse("2026-06-01T00:00:00.000Z");
const daysAgo = (days: number): string => new Date(NOW - days * DAY_MS).toISOString();

let db: Db;
beforeEach(async () => {
  db = await openDatabase(":memory:");
  return () => db.destroy();
});

/** A session of so many days ago with its microVM; one that is over has its receipt, and nothing left. */
const insert = async (days: number, { isOver = true, userId = "ada", id = `${days}` } = {}): Promise<void> => {
  const session: Session = {
    ...newSession({ provider: "oidc" }, { userId, startedBy: `key_${userId}`, ttlSec: 900 }),
    id: `ses_${id}`,
    createdAt: daysAgo(days),
    ...(isOver ? { state: "destroyed", receipt: RECEIPT } : { state: "failed" }),
  };
  await createSessionStore(db).insert(session, "");
  await insertVm(`vm_${id}`, session.id, days, isOver);
};
const insertVm = async (id: string, sessionId: string | null, days: number, isGone: boolean): Promise<void> => {
  const address = `10.0.${Math.floor(days / 200)}.${days % 200}`;
  const vm = {
    id,
    sessionId,
    address,
    backend: "fake",
    accel: null,
    why: null,
    imageDigest: "",
    tap: "",
    mac: "",
    uid: 1,
    process: null,
  };
  await createMicrovmStore(db).insert({ ...vm, createdAt: daysAgo(days) } satisfies Microvm);
  const ledger = createLedger(db);
  await ledger.acquire(id, "tap", "");
  if (isGone) await ledger.seenGone(id, [{ kind: "tap", ref: "" }]);
};
const idsOf = async (table: "sessions" | "vms"): Promise<string[]> =>
  (await db.selectFrom(table).select("id").orderBy("createdAt", "desc").execute()).map(({ id }) => id);

describe("history", () => {
  test("what is too old is forgotten with its microVM and the ledger's lines; what is not wholly gone stays", async () => {
    for (const days of [1, 29, 31, 400]) await insert(days);
    await insert(500, { isOver: false });
    await insertVm("vm_snapshot", null, 450, true);
    await insertVm("vm_held", null, 460, false);
    expect(await forgetHistory(db, { keepDays: 30, max: 100 }, NOW)).toBe(2);
    expect(await idsOf("sessions")).toEqual(["ses_1", "ses_29", "ses_500"]);
    expect(await idsOf("vms")).toEqual(["vm_1", "vm_29", "vm_held", "vm_500"]);
    const lines = await db.selectFrom("ledger").select("vmId").orderBy("vmId").execute();
    expect(lines.map(({ vmId }) => vmId)).toEqual(["vm_1", "vm_29", "vm_500", "vm_held"]);
    expect(await forgetHistory(db, { keepDays: 30, max: 100 }, NOW)).toBe(0);
  });

  test("of too many the oldest go, however young; those that are not over do not count", async () => {
    for (const days of [1, 2, 3, 4]) await insert(days);
    await insert(0, { isOver: false });
    expect(await forgetHistory(db, { keepDays: 30, max: 3 }, NOW)).toBe(1);
    expect(await idsOf("sessions")).toEqual(["ses_0", "ses_1", "ses_2", "ses_3"]);
  });

  test("who just ended is remembered all the same: its receipt is still to be fetched", async () => {
    for (const days of [0.01, 0.05, 0.09, 0.2]) await insert(days);
    expect(await forgetHistory(db, { keepDays: 0, max: 1 }, NOW)).toBe(2);
    expect(await idsOf("sessions")).toEqual(["ses_0.01", "ses_0.05"]);
  });

  test("a clock that went ahead makes nothing too old; of too many the oldest go all the same", async () => {
    for (const days of [1, 2, 3]) await insert(days);
    const ahead = NOW + 40 * DAY_MS;
    expect(await forgetHistory(db, { keepDays: 30, max: 100 }, ahead, NOW)).toBe(0);
    expect(await forgetHistory(db, { keepDays: 30, max: 2 }, ahead, NOW)).toBe(1);
    expect(await idsOf("sessions")).toEqual(["ses_1", "ses_2"]);
  });

  test("more than one transaction takes goes all the same", async () => {
    for (let i = 0; i < 450; i++) await insert(100, { id: `${i}` });
    expect(await forgetHistory(db, { keepDays: 30, max: 1000 }, NOW)).toBe(450);
    expect(await idsOf("vms")).toEqual([]);
  });
});

describe("what is asked often does not read the history", () => {
  /** The database, and how SQLite goes about each query that is sent to it. */
  const watched = (): { db: Db; plans: () => Promise<string[]> } => {
    const queries: CompiledQuery[] = [];
    const plugin: KyselyPlugin = {
      transformQuery: ({ node, queryId }) => {
        queries.push(new SqliteQueryCompiler().compileQuery(node, queryId));
        return node;
      },
      transformResult: async ({ result }) => result,
    };
    const plans = async (): Promise<string[]> => {
      const lines = [];
      for (const { sql, parameters } of queries) {
        const plan = await db.executeQuery<{ detail: string }>(
          CompiledQuery.raw(`EXPLAIN QUERY PLAN ${sql}`, [...parameters]),
        );
        lines.push(...plan.rows.map(({ detail }) => detail));
      }
      return lines;
    };
    return { db: db.withPlugin(plugin), plans };
  };

  /** What is asked, and the one index that may be read from end to end: it holds what is not over alone, or is read up to a limit. */
  test.each<[string, (db: Db) => Promise<unknown>, RegExp]>([
    ["the count that metrics and admission use", (on) => createSessionStore(on).census(), /sessions_unfinished/],
    ["the sessions that are looked after", (on) => createSessionStore(on).unfinished(), /sessions_unfinished/],
    [
      "a user's list",
      (on) => createSessionStore(on).list({ seenBy: { userId: "ada", keyId: "key_1" }, limit: 200 }),
      /sessions_(user|starter)/,
    ],
    ["an operator's list", (on) => createSessionStore(on).list({ limit: 200 }), /sessions_created/],
    ["a session's microVM", (on) => createMicrovmStore(on).ofSession("ses_1"), /vms_session/],
    ["what is held", (on) => createLedger(on).held(), /ledger_held/],
    ["whose microVMs are held", (on) => createMicrovmStore(on).held(), /ledger_held/],
    ["forgetting", (on) => forgetHistory(on, { keepDays: 30, max: 10 }, NOW), /sessions_ended/],
  ])("%s", async (_, ask, index) => {
    for (const days of [1, 50]) await insert(days);
    await insertVm("vm_snapshot", null, 50, true);
    const { db: on, plans } = watched();
    await ask(on);
    const lines = await plans();
    expect(lines.join("\n")).toMatch(index);
    const scans = lines.filter((line) => /^SCAN (sessions|vms|ledger)\b/.test(line));
    expect(scans.filter((line) => !index.test(line) && !/ledger_held/.test(line))).toEqual([]);
  });

  test("a list is one query, newest first, and a session that two ways lead to is in it once", async () => {
    for (const days of [3, 1, 2]) await insert(days);
    await insert(4, { userId: "bob" });
    const { db: on, plans } = watched();
    const listed = await createSessionStore(on).list({ seenBy: { userId: "ada", keyId: "key_ada" }, limit: 2 });
    expect(listed.map(({ session, vm }) => [session.id, vm?.id])).toEqual([
      ["ses_1", "vm_1"],
      ["ses_2", "vm_2"],
    ]);
    const sorts = (await plans()).filter((line) => /TEMP B-TREE FOR (?!RIGHT PART|LAST)/.test(line));
    expect(sorts.length).toBeLessThanOrEqual(1);
    const bobs = await createSessionStore(on).list({ seenBy: { userId: "eve", keyId: "key_bob" }, limit: 9 });
    expect(bobs.map(({ session }) => session.id)).toEqual(["ses_4"]);
  });
});
