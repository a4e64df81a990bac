/** Finds what is on this host and carries our names, but belongs to no session that lives; removes it when told to. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../lib/errors.ts";
import type { DataPaths } from "../lib/paths.ts";
import type { Network } from "../network/network.ts";
import type { Db } from "../state/db.ts";
import type { VmmBackend } from "../vmm/vmm.ts";
import type { Ledger } from "./ledger.ts";

export interface ReapDeps {
  paths: DataPaths;
  db: Db;
  ledger: Ledger;
  network: Network;
  vmm: VmmBackend;
}

interface Orphan {
  /** As shown to the operator: `process 123 (microVM abc)`. */
  name: string;
  remove: () => Promise<void>;
}

/**
 * Orphans found, and those removed (none with `dryRun`). What the ledger still holds for some VM is left to that
 * session's driver. Order matters: processes first, so that nothing holds what is removed after them.
 */
export const reap = async (
  deps: ReapDeps,
  options: { dryRun: boolean },
): Promise<{ found: string[]; removed: string[] }> => {
  const owned = new Set((await deps.ledger.held()).map((entry) => entry.vmId));
  const orphans = [
    ...(await orphanProcesses(deps, owned)),
    ...(await orphanTaps(deps, owned)),
    ...(await orphanDirectories(deps, owned)),
    ...(await orphanLeases(deps, owned)),
  ];
  const removed: string[] = [];
  if (!options.dryRun) {
    for (const orphan of orphans) {
      await orphan.remove();
      removed.push(orphan.name);
    }
  }
  return { found: orphans.map((orphan) => orphan.name), removed };
};

const orphanProcesses = async ({ vmm, paths }: ReapDeps, owned: Set<string>): Promise<Orphan[]> =>
  (await vmm.list(paths.vms))
    .filter(({ vmId }) => !owned.has(vmId))
    .map(({ vmId, process }) => ({
      name: `process ${process.pid} (microVM ${vmId})`,
      remove: () => vmm.kill(process),
    }));

const orphanTaps = async ({ network }: ReapDeps, owned: Set<string>): Promise<Orphan[]> =>
  (await network.listTaps())
    .filter((tap) => !owned.has(tap.replace(/^sp-/, "")))
    .map((tap) => ({ name: `TAP ${tap}`, remove: () => network.removeTap(tap) }));

const orphanDirectories = async ({ paths }: ReapDeps, owned: Set<string>): Promise<Orphan[]> => {
  const names = await readdir(paths.vms).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  return names
    .filter((name) => !owned.has(name))
    .map((name) => ({
      name: `directory vms/${name}`,
      remove: () => rm(join(paths.vms, name), { recursive: true, force: true }),
    }));
};

const orphanLeases = async ({ db }: ReapDeps, owned: Set<string>): Promise<Orphan[]> => {
  const leases = await db.selectFrom("leases").selectAll().execute();
  return leases
    .filter((lease) => !owned.has(lease.vm_id))
    .map((lease) => ({
      name: `lease ${lease.address}`,
      remove: async () => {
        await db.deleteFrom("leases").where("address", "=", lease.address).execute();
      },
    }));
};
