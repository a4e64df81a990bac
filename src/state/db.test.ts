import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate as turn } from "node:timers/promises";
import { sql } from "kysely";
import { afterEach, describe, expect, test } from "vitest";
import type { AppError } from "../lib/errors.ts";
import { createGathering } from "../lib/mutex.ts";
import { createLedger } from "../microvm/ledger.ts";
import { openDatabase } from "./db.ts";
import { createLogSync } from "./durable.ts";
import { MIGRATIONS } from "./migrations.ts";

const folders: string[] = [];
const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-db-"));
  folders.push(folder);
  return folder;
};
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** Of the first version, with a session and its microVM. */
const oldDatabase = async (file: string): Promise<void> => {
  const { "001-init": init } = MIGRATIONS;
  const old = await openDatabase(file, { "001-init": init! });
  for (const statement of [
    `INSERT INTO sessions (id, user_id, started_by, provider, state, created_at, expires_at, pairing_hash, sealed)
     VALUES ('ses_1', 'ali\u202ece', 'key_1', 'oidc', 'active', '2026-01-01', '2026-01-01', '', '${SEALED}')`,
    `INSERT INTO vms VALUES ('vm_1', 'ses_1', 'qemu', 'sha256:0', 'sp-1', '06', '192.168.100.2', 900002, 7, '8', '2026-01-01')`,
    `INSERT INTO ledger VALUES ('vm_1', 'process', '7', '2026-01-01', NULL)`,
    `INSERT INTO ledger VALUES ('vm_2', 'process', 'user 900003', '2026-01-01', '2026-01-02')`,
  ]) {
    await sql.raw(statement).execute(old);
  }
  await old.destroy();
};
const SEALED = "a-sealed-result-that-somebody-waited-for";

/** As kysely's Migrator left one that was killed. */
const halfUpgrade = (file: string): void => {
  const sqlite = new DatabaseSync(file);
  sqlite.exec("CREATE TABLE vms_new (id text)");
  sqlite.close();
};

test("a second controller on the same file is refused with a sentence, and welcome when the first is gone", async () => {
  const file = join(newFolder(), "sallyport.db");
  const first = await openDatabase(file);
  await expect(openDatabase(file)).rejects.toMatchObject({ code: "already-running" });
  await first.destroy();
  const second = await openDatabase(file);
  expect(await second.selectFrom("sessions").selectAll().execute()).toEqual([]);
  await second.destroy();
});

test("a database of the first version keeps its rows, and no byte of what is not kept any more", async () => {
  const folder = newFolder();
  const file = join(folder, "sallyport.db");
  await oldDatabase(file);
  const now = await openDatabase(file);
  expect(await now.selectFrom("sessions").select(["id", "userId", "answeredAt"]).execute()).toEqual([
    { id: "ses_1", userId: "ali\u202ece", answeredAt: null },
  ]);
  expect(await now.selectFrom("vms").select(["sessionId", "pid"]).execute()).toEqual([{ sessionId: "ses_1", pid: 7 }]);
  expect(await now.selectFrom("ledger").select(["kind", "ref", "seenGoneAt"]).orderBy("vmId").execute()).toEqual([
    { kind: "process", ref: "7", seenGoneAt: null },
    { kind: "user", ref: "900003", seenGoneAt: "2026-01-02" },
  ]);
  await now.destroy();
  for (const name of readdirSync(folder)) expect(readFileSync(join(folder, name), "latin1")).not.toContain(SEALED);
});

/** Opens the database, and does something before each statement of bringing it up to date. */
const openWatched = async (file: string, before: (statement: string, sqlite: DatabaseSync) => void): Promise<void> => {
  const { prototype } = DatabaseSync;
  const originals = Object.getOwnPropertyDescriptors(prototype);
  for (const name of ["exec", "prepare"] as const) {
    const original = Reflect.get(prototype, name) as (this: DatabaseSync, statement: string) => never;
    prototype[name] = function (statement) {
      before(statement, this);
      return original.call(this, statement);
    };
  }
  try {
    await (await openDatabase(file)).destroy();
  } finally {
    Object.defineProperties(prototype, originals);
  }
};

test.each(["a first start", "an upgrade"])("%s that is killed at any statement goes on at the next", async (which) => {
  const file = join(newFolder(), "sallyport.db");
  if (which === "an upgrade") await oldDatabase(file);
  // What a kill leaves of the file and its log.
  const left: { statement: string; folder: string }[] = [];
  await openWatched(file, (statement) => {
    const folder = newFolder();
    cpSync(dirname(file), folder, { recursive: true });
    left.push({ statement, folder });
  });
  expect(left.length).toBeGreaterThan(20);
  for (const { statement, folder } of left) {
    const db = await openDatabase(join(folder, "sallyport.db")).catch((error: unknown) => String(error));
    if (typeof db === "string") expect.fail(`${statement}: ${db}`);
    const vms = await db.selectFrom("vms").select("sessionId").execute();
    expect(vms, statement).toEqual(which === "an upgrade" ? [{ sessionId: "ses_1" }] : []);
    await db.destroy();
  }
});

test("an upgrade that has no space says so, and goes on when there is some", async () => {
  const file = join(newFolder(), "sallyport.db");
  await oldDatabase(file);
  const full = openWatched(file, (statement, sqlite) => {
    if (statement.includes("DROP TABLE vms")) sqlite.exec("PRAGMA max_page_count = 1");
  });
  await expect(full).rejects.toMatchObject({ code: "disk-full" });
  const db = await openDatabase(file);
  expect(await db.selectFrom("vms").select("sessionId").execute()).toEqual([{ sessionId: "ses_1" }]);
  await db.destroy();
});

describe("a database that cannot be used is told apart, and nobody is told to throw it away", () => {
  test("of a newer version", async () => {
    const file = join(newFolder(), "sallyport.db");
    await (await openDatabase(file, { ...MIGRATIONS, "999-later": "CREATE TABLE later (x text);" })).destroy();
    await expect(openDatabase(file)).rejects.toMatchObject({
      code: "database-newer",
      hint: expect.stringContaining("Run that version"),
    });
  });

  test.each<[string, (file: string) => void, RegExp, RegExp]>([
    [
      "rubbish",
      (file) => writeFileSync(file, "rubbish ".repeat(1000)),
      /is damaged.*: file is not a database\./,
      /Keep it/,
    ],
    ["cut off", (file) => truncateSync(file, 8192), /is damaged.*: database disk image is malformed\./, /Keep it/],
    ["a folder", (file) => (rmSync(file), mkdirSync(file)), /cannot be opened: unable to open/, /must be a file/],
    ["half upgraded by an earlier version", halfUpgrade, /to this version: table vms_new already exists\./, /Keep it/],
  ])("%s", async (_, spoil, message, hint) => {
    const file = join(newFolder(), "sallyport.db");
    await oldDatabase(file);
    spoil(file);
    const error = await openDatabase(file).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: "database-unusable", message: expect.stringMatching(message) });
    expect(error).toMatchObject({ hint: expect.stringMatching(hint) });
    expect((error as AppError).hint).not.toMatch(/move the data directory|remove|delete/);
  });
});

test("who wrote goes on when it is on the disk, once for all that wrote before; who reads meanwhile does not wait", async () => {
  const syncs: (() => void)[] = [];
  const sync = (): Promise<void> => new Promise((resolve) => syncs.push(resolve));
  const gather = createGathering(sync, 60_000);
  const log = { sync: () => gather(undefined), close: async () => {} };
  const db = await openDatabase(":memory:", MIGRATIONS, log);
  const done: string[] = [];
  const write = (ref: string): Promise<unknown> =>
    createLedger(db)
      .acquire("vm", "tap", ref)
      .then(() => done.push(ref));
  const together = db.transaction().execute(async (transaction) => {
    await createLedger(transaction).acquire("vm", "tap", "in a transaction");
    await createLedger(transaction).acquire("vm", "netns", "in a transaction");
  });
  const first = together.then(() => done.push("transaction"));
  await turn();
  const others = [write("a"), write("b")];
  await turn();
  expect(await createLedger(db).of("vm")).toHaveLength(4);
  expect({ done, syncs: syncs.length }).toEqual({ done: [], syncs: 1 });
  syncs.shift()?.();
  await first;
  await turn();
  expect({ done, syncs: syncs.length }).toEqual({ done: ["transaction"], syncs: 1 });
  syncs.shift()?.();
  await Promise.all(others);
  await db.destroy();
});

test("a sync is the disk's own, of the log; SQLite itself still syncs when it puts the log away", async () => {
  const file = join(newFolder(), "sallyport.db");
  // What has no disk refuses, and says so.
  symlinkSync("/dev/null", `${file}-wal`);
  const log = createLogSync(file);
  await expect(log.sync()).rejects.toMatchObject({
    code: "not-on-disk",
    message: expect.stringContaining("EINVAL"),
    cause: { syscall: "fdatasync" },
  });
  await log.close();
  rmSync(`${file}-wal`);
  const db = await openDatabase(file);
  expect((await sql`PRAGMA synchronous`.execute(db)).rows).toEqual([{ synchronous: 1 }]);
  await db.destroy();
});

/** Syncs that each end when, and as, they are told. */
const toldLog = () => {
  const syncs: PromiseWithResolvers<void>[] = [];
  const log = {
    datasync: (): Promise<void> => {
      const sync = Promise.withResolvers<void>();
      syncs.push(sync);
      return sync.promise;
    },
    close: async () => {},
  };
  return { syncs, log: createLogSync("/nowhere/sallyport.db", async () => log) };
};

test("a sync that failed touches no other's transaction", async () => {
  const { syncs, log } = toldLog();
  const db = await openDatabase(":memory:", MIGRATIONS, log);
  const refs = async (): Promise<string[]> =>
    (await db.selectFrom("ledger").select("ref").orderBy("ref").execute()).map(({ ref }) => ref);
  const first = db.transaction().execute((transaction) => createLedger(transaction).acquire("vm", "tap", "a"));
  await turn();
  const goOn = Promise.withResolvers<void>();
  const second = db.transaction().execute(async (transaction) => {
    await createLedger(transaction).acquire("vm", "tap", "b1");
    await goOn.promise;
    await createLedger(transaction).acquire("vm", "tap", "b2");
    throw new Error("enough");
  });
  await turn();
  syncs[0]?.reject(new Error("EIO"));
  await expect(first).rejects.toMatchObject({ code: "not-on-disk" });
  goOn.resolve();
  await expect(second).rejects.toThrow("enough");
  expect(await refs()).toEqual(["a"]);
  await db.destroy();
});

test("a sync that failed is the last one: the kernel says only once what it lost", async () => {
  const { syncs, log } = toldLog();
  const before = log.sync();
  await turn();
  const after = [log.sync(), log.sync()];
  syncs[0]?.resolve();
  await before;
  await turn();
  syncs[1]?.reject(new Error("EIO"));
  for (const one of [...after, log.sync()]) await expect(one).rejects.toMatchObject({ code: "not-on-disk" });
  expect(syncs).toHaveLength(2);
});
