/** Finds what is on this host and carries our names, but belongs to no session that lives; removes it when told to. */
import { readdir, rm } from "node:fs/promises";
import { messageOf } from "../lib/errors.ts";
import type { DataPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import type { FoundThing, Network } from "../network/network.ts";
import type { Db } from "../state/db.ts";
import type { VmmBackend } from "../vmm/vmm.ts";
import type { Ledger } from "./ledger.ts";

export interface ReapDeps {
  paths: DataPaths;
  db: Db;
  ledger: Ledger;
  network: Network;
  vmm: VmmBackend;
  /** First and last user that VMMs run as. */
  uids: readonly [number, number];
}

export interface ReapResult {
  found: string[];
  removed: string[];
  /** What would not go, and why. */
  failed: string[];
}

/** Something on this host that carries a microVM's id, or stands in the ledger where a microVM owns it. */
interface Thing {
  vmId?: string;
  entry?: Pick<FoundThing, "kind" | "ref">;
  /** As shown to the operator: `process 123 (microVM abc)`. */
  name: string;
  remove: () => Promise<void>;
}

/**
 * Orphans found, and those removed (none with `dryRun`). What the ledger still holds for some VM is left to that
 * session's driver. The ledger is read last: a thing whose row was written before the thing was made is then never taken
 * for an orphan, however the look-ups fall beside a start. Removed in order, processes first, so that nothing holds what
 * comes after.
 */
export const reap = async (deps: ReapDeps, options: { dryRun: boolean }): Promise<ReapResult> => {
  const things = [
    ...(await processes(deps)),
    ...(await ofNetwork(deps)),
    ...(await directories(deps)),
    ...(await leases(deps)),
  ];
  const held = await deps.ledger.held();
  const isOwned = ({ vmId, entry }: Thing): boolean =>
    held.some((row) => row.vmId === vmId || (row.kind === entry?.kind && row.ref === entry.ref));
  const orphans = things.filter((thing) => !isOwned(thing));
  const result: ReapResult = { found: orphans.map((orphan) => orphan.name), removed: [], failed: [] };
  if (options.dryRun) return result;
  for (const orphan of orphans) {
    try {
      await orphan.remove();
      result.removed.push(orphan.name);
    } catch (error) {
      result.failed.push(`${orphan.name}: ${messageOf(error)}`);
    }
  }
  return result;
};

const processes = async ({ vmm, paths, uids }: ReapDeps): Promise<Thing[]> =>
  (await vmm.list({ vmsDir: paths.vms, uids })).map((found) => ({
    vmId: found.vmId,
    name: `process ${found.process.pid} (microVM ${found.vmId})`,
    remove: () => vmm.kill(found),
  }));

const ofNetwork = async ({ network }: ReapDeps): Promise<Thing[]> =>
  (await network.found()).map((thing) => ({
    ...(thing.vmId === undefined ? {} : { vmId: thing.vmId }),
    entry: thing,
    name: `${NAMES[thing.kind]} ${thing.ref}`,
    remove: () => network.removeFound(thing),
  }));

const NAMES: Record<FoundThing["kind"], string> = {
  tap: "TAP",
  firewall: "firewall entry",
  neighbour: "neighbour entry",
};

const directories = async ({ paths }: ReapDeps): Promise<Thing[]> => {
  const names = await unlessMissing(readdir(paths.vms), []);
  return names.map((name) => ({
    vmId: name,
    name: `directory vms/${name}`,
    remove: () => rm(paths.vm(name).root, { recursive: true, force: true }),
  }));
};

const leases = async ({ db }: ReapDeps): Promise<Thing[]> =>
  (await db.selectFrom("leases").selectAll().execute()).map((lease) => ({
    vmId: lease.vmId,
    name: `lease ${lease.address}`,
    remove: async () => {
      await db.deleteFrom("leases").where("address", "=", lease.address).execute();
    },
  }));
