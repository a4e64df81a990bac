/** Who owns which thing on this host. A row is written before the thing is made and closed when the thing is seen gone. */
import type { Db } from "../state/db.ts";

export type Ledger = ReturnType<typeof createLedger>;

/** A thing on the host, by its kind and name. */
interface Thing {
  kind: string;
  ref: string;
}

export const createLedger = (db: Db) => {
  /** Before making the things. There may be several of a kind, under different names; one that was gone and is made again is held again. */
  const acquireAll = async (vmId: string, things: Thing[]): Promise<void> => {
    const acquiredAt = new Date().toISOString();
    await db
      .insertInto("ledger")
      .values(things.map(({ kind, ref }) => ({ vmId, kind, ref, acquiredAt, seenGoneAt: null })))
      .onConflict((conflict) => conflict.columns(["vmId", "kind", "ref"]).doUpdateSet({ seenGoneAt: null }))
      .execute();
  };

  return {
    acquireAll,

    acquire: (vmId: string, kind: string, ref: string): Promise<void> => acquireAll(vmId, [{ kind, ref }]),

    /** After having looked and not found them. At one stroke: each write waits for the disk. */
    seenGone: async (vmId: string, things: Thing[]): Promise<void> => {
      await db
        .updateTable("ledger")
        .set({ seenGoneAt: new Date().toISOString() })
        .where("vmId", "=", vmId)
        .where((row) => row.or(things.map(({ kind, ref }) => row.and({ kind, ref }))))
        .where("seenGoneAt", "is", null)
        .execute();
    },

    of: (vmId: string) => db.selectFrom("ledger").selectAll().where("vmId", "=", vmId).orderBy("acquiredAt").execute(),

    held: () => db.selectFrom("ledger").selectAll().where("seenGoneAt", "is", null).execute(),
  };
};
