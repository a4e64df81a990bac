import type { Kysely, Migration } from "kysely";

/** The sealed result is in memory only; what is written down is that the requester has it. */
export const answered: Migration = {
  up: async (db: Kysely<unknown>) => {
    await db.schema.alterTable("sessions").dropColumn("sealed").execute();
    await db.schema.alterTable("sessions").addColumn("answered_at", "text").execute();
  },
};
