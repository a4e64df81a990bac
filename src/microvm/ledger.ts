/** Who owns which thing on this host. A row is written before the thing is made and closed when the thing is seen gone. */
import type { Db } from "../state/db.ts";

export type Ledger = ReturnType<typeof createLedger>;

export const createLedger = (db: Db) => ({
  /** Before making the thing. There may be several of a kind, under different names; one that was gone and is made again is held again. */
  acquire: async (vmId: string, kind: string, ref: string): Promise<void> => {
    await db
      .insertInto("ledger")
      .values({ vmId, kind, ref, acquiredAt: new Date().toISOString(), seenGoneAt: null })
      .onConflict((conflict) => conflict.columns(["vmId", "kind", "ref"]).doUpdateSet({ seenGoneAt: null }))
      .execute();
  },

  /** After having looked and not found it. */
  seenGone: async (vmId: string, kind: string, ref: string): Promise<void> => {
    await db
      .updateTable("ledger")
      .set({ seenGoneAt: new Date().toISOString() })
      .where("vmId", "=", vmId)
      .where("kind", "=", kind)
      .where("ref", "=", ref)
      .where("seenGoneAt", "is", null)
      .execute();
  },

  of: (vmId: string) => db.selectFrom("ledger").selectAll().where("vmId", "=", vmId).orderBy("acquiredAt").execute(),

  held: () => db.selectFrom("ledger").selectAll().where("seenGoneAt", "is", null).execute(),
});
