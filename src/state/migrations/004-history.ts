import { sql, type Kysely, type Migration } from "kysely";

/** What is asked often reads what it answers, however long the history is. */
export const history: Migration = {
  up: async (db: Kysely<unknown>) => {
    for (const statement of [
      "DROP INDEX sessions_state",
      "CREATE INDEX sessions_unfinished ON sessions (state, user_id) WHERE receipt IS NULL",
      "CREATE INDEX sessions_ended ON sessions (created_at) WHERE receipt IS NOT NULL",
      "CREATE INDEX sessions_created ON sessions (created_at, id)",
      "CREATE INDEX sessions_user ON sessions (user_id, created_at, id)",
      "CREATE INDEX sessions_starter ON sessions (started_by, created_at, id)",
      "CREATE INDEX ledger_held ON ledger (vm_id) WHERE seen_gone_at IS NULL",
    ]) {
      await sql.raw(statement).execute(db);
    }
  },
};
