import { sql, type Kysely, type Migration } from "kysely";

/** SQLite cannot drop NOT NULL from a column: the table is made anew. */
export const owners: Migration = {
  up: async (db: Kysely<unknown>) => {
    await db.schema
      .createTable("vms_new")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("session_id", "text", (c) => c.references("sessions.id"))
      .addColumn("backend", "text", (c) => c.notNull())
      .addColumn("image_digest", "text", (c) => c.notNull())
      .addColumn("tap", "text", (c) => c.notNull())
      .addColumn("mac", "text", (c) => c.notNull())
      .addColumn("address", "text", (c) => c.notNull())
      .addColumn("uid", "integer", (c) => c.notNull())
      .addColumn("pid", "integer")
      .addColumn("start_ticks", "text")
      .addColumn("created_at", "text", (c) => c.notNull())
      .execute();
    await sql`INSERT INTO vms_new SELECT id, session_id, backend, image_digest, tap, mac, address, uid, pid, start_ticks, created_at FROM vms`.execute(
      db,
    );
    await db.schema.dropTable("vms").execute();
    await db.schema.alterTable("vms_new").renameTo("vms").execute();
    await db.schema.createIndex("vms_session").on("vms").column("session_id").execute();
  },
};
