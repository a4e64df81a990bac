/** SQLite through kysely, on Node's own `node:sqlite` (docs/adr/0001: no native module to compile or download). */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { CamelCasePlugin, Kysely, Migrator, SqliteDialect, type SqliteDatabase } from "kysely";
import { AppError } from "../lib/errors.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Database } from "./schema.ts";

export type Db = Kysely<Database>;

/**
 * Opens the file (made with mode 0600 by the caller's umask) and brings its schema up to date. WAL with full sync: a row
 * that was committed survives power loss, which is what the ledger is for. The exclusive lock is held until the process
 * ends, however it ends: two controllers never share a data directory.
 * Throws AppError `already-running`, `database-unusable`.
 */
export const openDatabase = async (file: string, migrations = MIGRATIONS): Promise<Db> => {
  const sqlite = openExclusively(file);
  const db = new Kysely<Database>({
    dialect: new SqliteDialect({ database: asBetterSqlite(sqlite) }),
    plugins: [new CamelCasePlugin()],
  });
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error } = await migrator.migrateToLatest();
  if (error) {
    await db.destroy();
    throw new AppError("internal", "database-unusable", `The database ${file} cannot be brought to this version.`, {
      cause: error,
      hint: "Restore a copy, or move the data directory aside and start anew.",
    });
  }
  return db;
};

const SQLITE_BUSY = 5;

const openExclusively = (file: string): DatabaseSync => {
  const sqlite = new DatabaseSync(file);
  try {
    sqlite.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; BEGIN EXCLUSIVE; COMMIT");
    sqlite.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON");
    return sqlite;
  } catch (cause) {
    sqlite.close();
    if (cause instanceof Error && "errcode" in cause && cause.errcode === SQLITE_BUSY) {
      throw new AppError("conflict", "already-running", `Another controller is using ${file}.`, {
        cause,
        hint: "Use that one, or give this one its own dataDir.",
      });
    }
    throw cause;
  }
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
