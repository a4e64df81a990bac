/** Finds what is on this host and carries our names, but belongs to no session that lives; removes it when told to. */
import { readdir, rm } from "node:fs/promises";
import type { ReapResponse } from "../contract/api.ts";
import { messageOf } from "../lib/errors.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { vmmUids } from "../lib/user-range.ts";
import { releaseAddress } from "../network/lease.ts";
import type { FoundThing } from "../network/network.ts";
import { cgroupsIn, endCgroup } from "../vmm/cgroup.ts";
import { handleOf, listVmms } from "../vmm/process.ts";
import { destroyMicrovm } from "./destroy.ts";
import type { MicrovmDeps } from "./microvm.ts";

export interface ReapDeps extends MicrovmDeps {
  /** Whether this microVM has no session because it is a template, or a clone that waits for one. */
  isNobodys: (vmId: string) => boolean;
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
 * Orphans found, those removed (none with `dryRun`), and those that would not go, with why. What the ledger still holds
 * for some VM is left to that session's driver. The ledger is read last: a thing whose row was written before the thing
 * was made is then never taken for an orphan, however the look-ups fall beside a start. Removed in order, processes
 * first, so that nothing holds what comes after.
 */
export const reap = async (deps: ReapDeps, options: { dryRun: boolean }): Promise<ReapResponse> => {
  const things = [
    ...(await processes(deps)),
    ...(await cgroups(deps)),
    ...(await ofNetwork(deps)),
    ...(await directories(deps)),
    ...(await leases(deps)),
  ];
  const held = await deps.ledger.held();
  const isOwned = ({ vmId, entry }: Thing): boolean =>
    held.some((row) => row.vmId === vmId || (row.kind === entry?.kind && row.ref === entry.ref));
  const orphans = [...things.filter((thing) => !isOwned(thing)), ...(await ownerless(deps))];
  const result: ReapResponse = { found: orphans.map((orphan) => orphan.name), removed: [], failed: [] };
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

/** MicroVMs on record that no session has, and nobody knows what for: who did has died. */
const ownerless = async (deps: ReapDeps): Promise<Thing[]> =>
  (await deps.vms.held())
    .filter((vm) => vm.sessionId === null && !deps.isNobodys(vm.id))
    .map((vm) => ({
      vmId: vm.id,
      name: `microVM ${vm.id}, which belongs to nobody`,
      remove: async () => void (await destroyMicrovm(deps, vm)),
    }));

const processes = async ({ paths, config }: ReapDeps): Promise<Thing[]> =>
  (await listVmms({ cgroup: paths.cgroup, vms: paths.vms, uids: vmmUids(config.vm.uidBase) })).map((found) => ({
    vmId: found.vmId,
    name: `process ${found.process.pid} (microVM ${found.vmId})`,
    remove: () => handleOf({ ...found, paths: paths.vm(found.vmId) }).kill(),
  }));

const cgroups = async ({ paths }: ReapDeps): Promise<Thing[]> =>
  (await cgroupsIn(paths.cgroup)).map((vmId) => ({
    vmId,
    name: `control group ${paths.vm(vmId).cgroup}`,
    remove: () => endCgroup(paths.vm(vmId).cgroup),
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
  netns: "network namespace",
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
    remove: () => releaseAddress(db, lease.vmId),
  }));
