/** MicroVMs on disk: one row each, kept after their end for as long as their owner's record. */
import type { Selectable } from "kysely";
import type { ProcessIdentity } from "../lib/process.ts";
import type { Db } from "../state/db.ts";
import type { Database } from "../state/schema.ts";

/** One VMM process on this host, and what was set aside for it. */
export type Microvm = Omit<Selectable<Database["vms"]>, "pid" | "startTicks"> & { process: ProcessIdentity | null };

export type MicrovmStore = ReturnType<typeof createMicrovmStore>;

export const createMicrovmStore = (db: Db) => ({
  insert: async (vm: Microvm): Promise<void> => {
    await db.insertInto("vms").values(toRow(vm)).execute();
  },

  get: async (id: string): Promise<Microvm | undefined> => {
    const row = await db.selectFrom("vms").selectAll().where("id", "=", id).executeTakeFirst();
    return row && fromRow(row);
  },

  /** Null: the one that it had is gone, and it may get another. */
  setProcess: async (id: string, process: ProcessIdentity | null): Promise<void> => {
    const { pid, startTicks } = process ?? { pid: null, startTicks: null };
    await db.updateTable("vms").set({ pid, startTicks }).where("id", "=", id).execute();
  },

  /** Of one that belongs to nobody. Throws when it belongs to somebody. */
  giveTo: async (id: string, sessionId: string): Promise<void> => {
    const free = db.updateTable("vms").set({ sessionId }).where("id", "=", id).where("sessionId", "is", null);
    const { numUpdatedRows } = await free.executeTakeFirstOrThrow();
    if (numUpdatedRows !== 1n) throw new Error(`microVM ${id} is somebody's already`);
  },

  ofSession: async (sessionId: string): Promise<Microvm | undefined> => {
    const row = await db.selectFrom("vms").selectAll().where("sessionId", "=", sessionId).executeTakeFirst();
    return row && fromRow(row);
  },

  /** Those of which something is still on this host, as the ledger has it. */
  held: async (): Promise<Microvm[]> => {
    const held = db.selectFrom("ledger").select("vmId").where("seenGoneAt", "is", null);
    return (await db.selectFrom("vms").selectAll().where("id", "in", held).execute()).map(fromRow);
  },
});

const toRow = ({ process, ...vm }: Microvm) => ({
  ...vm,
  pid: process?.pid ?? null,
  startTicks: process?.startTicks ?? null,
});

const fromRow = ({ pid, startTicks, ...vm }: Selectable<Database["vms"]>): Microvm => ({
  ...vm,
  process: pid === null || startTicks === null ? null : { pid, startTicks },
});
