/**
 * What was written is on the disk before its writer goes on, as with SQLite's own full sync, but nobody else stands still meanwhile: SQLite
 * commits into its log without waiting (`synchronous = NORMAL`), and the log is synced beside the event loop, once for all that wrote
 * before it began.
 */
import { open, type FileHandle } from "node:fs/promises";
import { CompiledQuery, SqliteDialect, SqliteDriver, type DatabaseConnection, type SqliteDatabase } from "kysely";
import { AppError, messageOf } from "../lib/errors.ts";
import { createGathering } from "../lib/mutex.ts";

/** Longer than any disk takes: a sync that began before a write does not count for it. */
const PATIENCE_MS = 600_000;

/** SQLite's word for a database without a file. */
const IN_MEMORY = ":memory:";

/** `file`: the database's. A sync that failed is the last one: the kernel tells of what it lost once, and then says that all is well. */
export const createLogSync = (file: string, openLog: (path: string) => Promise<Log> = openToWrite) => {
  let log: Log | undefined;
  let failure: AppError | undefined;
  const sync = createGathering(async () => {
    if (file === IN_MEMORY) return;
    if (failure) throw failure;
    try {
      // It is there as long as the database is open: nobody else has it.
      log ??= await openLog(`${file}-wal`);
      await log.datasync();
    } catch (cause) {
      failure = notOnDisk(file, cause);
      throw failure;
    }
  }, PATIENCE_MS);
  return {
    sync: (): Promise<void> => sync(undefined),
    close: async (): Promise<void> => log?.close(),
  };
};

type Log = Pick<FileHandle, "datasync" | "close">;

const openToWrite = (path: string): Promise<Log> => open(path, "r+");

const notOnDisk = (file: string, cause: unknown): AppError => {
  const sentence = `What was written to ${file} could not be brought to the disk (${messageOf(cause)}): nothing more is written to it until the controller is started anew.`;
  return new AppError("internal", "not-on-disk", sentence, {
    hint: "Look at the disk (dmesg, df), then restart the controller. Its microVMs go on meanwhile, and are taken over.",
    cause,
  });
};

export type LogSync = ReturnType<typeof createLogSync>;

export class DurableDialect extends SqliteDialect {
  readonly #database: SqliteDatabase;
  readonly #log: LogSync;

  constructor(database: SqliteDatabase, log: LogSync) {
    super({ database });
    this.#database = database;
    this.#log = log;
  }

  override createDriver(): SqliteDriver {
    return new DurableDriver(this.#database, this.#log);
  }
}

/** The one connection, lent to one after the other: whoever only waits for the disk has it no longer. */
interface Loan extends DatabaseConnection {
  isInTransaction: boolean;
  readonly isLent: boolean;
  end(): Promise<void>;
}

class DurableDriver extends SqliteDriver {
  readonly #log: LogSync;

  constructor(database: SqliteDatabase, log: LogSync) {
    super({ database });
    this.#log = log;
  }

  override async acquireConnection(): Promise<Loan> {
    const connection = await super.acquireConnection();
    let isLent = true;
    const loan: Loan = {
      isInTransaction: false,
      get isLent() {
        return isLent;
      },
      end: async () => {
        if (isLent) await super.releaseConnection();
        isLent = false;
      },
      executeQuery: async (query) => {
        const result = await connection.executeQuery<never>(query);
        // What answers rows wrote nothing: nobody here asks for what was written (RETURNING).
        if (!loan.isInTransaction && "numAffectedRows" in result) await this.#written(loan);
        return result;
      },
      streamQuery: (query, size) => connection.streamQuery(query, size),
    };
    return loan;
  }

  override async releaseConnection(loan?: Loan): Promise<void> {
    await loan?.end();
  }

  override async beginTransaction(loan: Loan): Promise<void> {
    loan.isInTransaction = true;
    await loan.executeQuery(CompiledQuery.raw("begin"));
  }

  override async commitTransaction(loan: Loan): Promise<void> {
    await loan.executeQuery(CompiledQuery.raw("commit"));
    await this.#written(loan);
  }

  /** Of one that was committed and is not on the disk, there is nothing to take back: the connection may be in another's transaction. */
  override async rollbackTransaction(loan: Loan): Promise<void> {
    if (loan.isLent) await super.rollbackTransaction(loan);
  }

  override async destroy(): Promise<void> {
    await super.destroy();
    await this.#log.close();
  }

  async #written(loan: Loan): Promise<void> {
    await loan.end();
    await this.#log.sync();
  }
}
