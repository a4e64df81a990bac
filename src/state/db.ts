/** SQLite through kysely, on Node's own `node:sqlite` (docs/adr/0001: no native module to compile or download). */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { CamelCasePlugin, Kysely, sql, type SqliteDatabase } from "kysely";
import { diskFullOf } from "../lib/disk-full.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { createLogSync, DurableDialect } from "./durable.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Database } from "./schema.ts";

export type Db = Kysely<Database>;

/**
 * Opens the file (made with mode 0600 by the caller's umask) and brings its schema up to date. WAL, synced before a
 * writer goes on (durable.ts): a row that was written survives power loss, which is what the ledger is for. `log`: test seam. The exclusive lock is held until the process
 * ends, however it ends: two controllers never share a data directory.
 * A new file has small pages: each change writes whole ones, and a session's many changes are small.
 * Throws AppError `already-running`, `disk-full`, `database-newer`, `database-unusable`.
 */
export const openDatabase = async (file: string, migrations = MIGRATIONS, log = createLogSync(file)): Promise<Db> => {
  let sqlite: DatabaseSync | undefined;
  try {
    sqlite = new DatabaseSync(file);
    sqlite.exec(
      "PRAGMA page_size = 1024; PRAGMA wal_autocheckpoint = 4000; PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; BEGIN EXCLUSIVE; COMMIT",
    );
    sqlite.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON");
    upgrade(sqlite, file, migrations);
    sqlite.exec("PRAGMA synchronous = NORMAL");
  } catch (cause) {
    sqlite?.close();
    throw cause instanceof AppError ? cause : (diskFullOf(cause) ?? refusalOf(file, cause));
  }
  const db = new Kysely<Database>({
    dialect: new DurableDialect(asBetterSqlite(sqlite), log),
    plugins: [new CamelCasePlugin()],
  });
  // kysely closes nothing that it was not asked anything of.
  await sql`SELECT 1`.execute(db);
  return db;
};

/**
 * Each step with its record in one transaction: whatever ends an upgrade, the next one goes on from there. The table is that of kysely's
 * Migrator, which did this before and puts no step into a transaction on SQLite.
 */
const upgrade = (sqlite: DatabaseSync, file: string, migrations: typeof MIGRATIONS): void => {
  sqlite.exec("CREATE TABLE IF NOT EXISTS kysely_migration (name text NOT NULL PRIMARY KEY, timestamp text NOT NULL)");
  const done = sqlite.prepare("SELECT name FROM kysely_migration").all();
  const isDone = new Set(done.map(({ name }) => String(name)));
  if ([...isDone].some((name) => !Object.hasOwn(migrations, name))) {
    throw new AppError("conflict", "database-newer", `The database ${file} was written by a newer Sallyport.`, {
      hint: "Run that version: this one cannot read what it wrote. Nothing in it was changed.",
    });
  }
  for (const [name, statements] of Object.entries(migrations)) {
    if (isDone.has(name)) continue;
    sqlite.exec("BEGIN IMMEDIATE");
    for (const statement of statements.split(";")) sqlite.exec(statement);
    sqlite.prepare("INSERT INTO kysely_migration VALUES (?, ?)").run(name, new Date().toISOString());
    sqlite.exec("COMMIT");
  }
};

const SQLITE = { BUSY: 5, READONLY: 8, IOERR: 10, CORRUPT: 11, CANTOPEN: 14, NOTADB: 26 } as const;
const [IS_NO_FILE, IS_DAMAGED] = ["cannot be opened", "is damaged, or is no database"];
/** What is wrong with the file, by SQLite's primary result code. */
const TROUBLES = new Map<number, string>([
  [SQLITE.CORRUPT, IS_DAMAGED],
  [SQLITE.NOTADB, IS_DAMAGED],
  [SQLITE.CANTOPEN, IS_NO_FILE],
  [SQLITE.READONLY, IS_NO_FILE],
  [SQLITE.IOERR, "cannot be read or written"],
]);

/** The ledger of what still runs is in it: nobody is told to do without it while something may. */
const refusalOf = (file: string, cause: unknown): AppError => {
  const { errcode = 0 } = cause as { errcode?: number };
  if ((errcode & 0xff) === SQLITE.BUSY) {
    return new AppError("conflict", "already-running", `Another controller is using ${file}.`, {
      cause,
      hint: "Use that one, or give this one its own dataDir.",
    });
  }
  const trouble = TROUBLES.get(errcode & 0xff) ?? "cannot be brought to this version";
  return new AppError("internal", "database-unusable", `The database ${file} ${trouble}: ${messageOf(cause)}.`, {
    cause,
    hint:
      trouble === IS_NO_FILE
        ? "It must be a file that root may write, on a file system that is not read-only. Nothing in it was changed."
        : "Keep it: it says which microVMs still run here. Put back a copy (with its -wal); without one restart this host, so that none runs on unseen, then rename the file and start anew.",
  });
};

/** kysely's dialect speaks better-sqlite3's words; these are the few it uses. */
const asBetterSqlite = (sqlite: DatabaseSync): SqliteDatabase => ({
  close: () => sqlite.close(),
  prepare: (sql) => {
    // A full disk makes SQLite roll back by itself; kysely's own rollback would then fail and hide the reason.
    const isNeedless = sql.toLowerCase() === "rollback" && !sqlite.isTransaction;
    const statement = sqlite.prepare(isNeedless ? "PRAGMA no_such_pragma" : sql);
    const bind = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[];
    return {
      reader: statement.columns().length > 0,
      all: (parameters) => statement.all(...bind(parameters)),
      run: (parameters) => statement.run(...bind(parameters)),
      iterate: (parameters) => statement.iterate(...bind(parameters)),
    };
  },
});
