/** Who owns which thing on this host. A row is written before the thing is made and closed when the thing is seen gone. */
import type { ResourceKind } from "../contract/session.ts";
import type { Db } from "../state/db.ts";

export interface LedgerEntry {
  vmId: string;
  kind: ResourceKind;
  /** Name of the thing: an address, an interface, a process id, a folder's name. */
  ref: string;
  acquiredAt: string;
  seenGoneAt: string | null;
}

export type Ledger = ReturnType<typeof createLedger>;

export const createLedger = (db: Db) => ({
  /** Before making the thing. Saying it twice changes the name and nothing else. */
  acquire: async (vmId: string, kind: ResourceKind, ref: string): Promise<void> => {
    await db
      .insertInto("ledger")
      .values({ vm_id: vmId, kind, ref, acquired_at: new Date().toISOString(), seen_gone_at: null })
      .onConflict((conflict) => conflict.columns(["vm_id", "kind"]).doUpdateSet({ ref }))
      .execute();
  },

  /** After having looked and not found it. */
  seenGone: async (vmId: string, kind: ResourceKind): Promise<void> => {
    await db
      .updateTable("ledger")
      .set({ seen_gone_at: new Date().toISOString() })
      .where("vm_id", "=", vmId)
      .where("kind", "=", kind)
      .where("seen_gone_at", "is", null)
      .execute();
  },

  of: async (vmId: string): Promise<LedgerEntry[]> =>
    (await db.selectFrom("ledger").selectAll().where("vm_id", "=", vmId).orderBy("acquired_at").execute()).map(fromRow),

  held: async (): Promise<LedgerEntry[]> =>
    (await db.selectFrom("ledger").selectAll().where("seen_gone_at", "is", null).execute()).map(fromRow),
});

const fromRow = (row: {
  vm_id: string;
  kind: ResourceKind;
  ref: string;
  acquired_at: string;
  seen_gone_at: string | null;
}): LedgerEntry => ({
  vmId: row.vm_id,
  kind: row.kind,
  ref: row.ref,
  acquiredAt: row.acquired_at,
  seenGoneAt: row.seen_gone_at,
});
