import type { Kysely, Migration } from "kysely";

export const init: Migration = {
  up: async (db: Kysely<unknown>) => {
    await db.schema
      .createTable("sessions")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("user_id", "text", (c) => c.notNull())
      .addColumn("started_by", "text", (c) => c.notNull())
      .addColumn("provider", "text", (c) => c.notNull())
      .addColumn("state", "text", (c) => c.notNull())
      .addColumn("generation", "integer", (c) => c.notNull().defaultTo(0))
      .addColumn("created_at", "text", (c) => c.notNull())
      .addColumn("expires_at", "text", (c) => c.notNull())
      .addColumn("recipient_key", "text")
      .addColumn("pairing_hash", "text", (c) => c.notNull())
      .addColumn("pairing_failures", "integer", (c) => c.notNull().defaultTo(0))
      .addColumn("stages", "text", (c) => c.notNull().defaultTo("[]"))
      .addColumn("verdict", "text")
      .addColumn("sealed", "text")
      .addColumn("sealed_taken_at", "text")
      .addColumn("opened_at", "text")
      .addColumn("opened_host", "text")
      .addColumn("outcome", "text")
      .addColumn("receipt", "text")
      .execute();
    await db.schema
      .createTable("vms")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("session_id", "text", (c) => c.notNull().references("sessions.id"))
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
    await db.schema
      .createTable("leases")
      .addColumn("address", "text", (c) => c.primaryKey())
      .addColumn("vm_id", "text", (c) => c.notNull().unique())
      .addColumn("leased_at", "text", (c) => c.notNull())
      .execute();
    await db.schema
      .createTable("ledger")
      .addColumn("vm_id", "text", (c) => c.notNull())
      .addColumn("kind", "text", (c) => c.notNull())
      .addColumn("ref", "text", (c) => c.notNull())
      .addColumn("acquired_at", "text", (c) => c.notNull())
      .addColumn("seen_gone_at", "text")
      .addPrimaryKeyConstraint("ledger_pk", ["vm_id", "kind"])
      .execute();
    await db.schema
      .createTable("api_keys")
      .addColumn("id", "text", (c) => c.primaryKey())
      .addColumn("user_id", "text", (c) => c.notNull())
      .addColumn("scopes", "text", (c) => c.notNull())
      .addColumn("label", "text", (c) => c.notNull())
      .addColumn("hash", "text", (c) => c.notNull().unique())
      .addColumn("created_at", "text", (c) => c.notNull())
      .addColumn("revoked_at", "text")
      .execute();
    await db.schema.createIndex("sessions_state").on("sessions").column("state").execute();
    await db.schema.createIndex("vms_session").on("vms").column("session_id").execute();
  },
};
