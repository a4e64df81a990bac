/** What the making and unmaking of microVMs is handed, and the road from a microVM's record to its VMM. */
import type { Config } from "../config/config.ts";
import type { DataPaths } from "../lib/paths.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import type { Network } from "../network/network.ts";
import type { Db } from "../state/db.ts";
import type { VmmBackends } from "../vmm/backends.ts";
import { CGROUP, handleOf as handleOfAny } from "../vmm/process.ts";
import type { MicrovmHandle, VmmRecord } from "../vmm/vmm.ts";
import type { Ledger } from "./ledger.ts";
import type { Microvm, MicrovmStore } from "./store.ts";

export interface MicrovmDeps {
  config: Config;
  paths: DataPaths;
  db: Db;
  vms: MicrovmStore;
  ledger: Ledger;
  network: Network;
  vmms: VmmBackends;
}

/** A microVM whose VMM was started, by this controller or a former one. */
export type RunningMicrovm = Microvm & { process: ProcessIdentity };

type VmmDeps = Pick<MicrovmDeps, "vmms" | "paths">;

const recordOf = ({ paths }: VmmDeps, { id, uid, process }: Microvm): VmmRecord => ({
  vmId: id,
  uid,
  process,
  paths: paths.vm(id),
});

/** Of the backend that the record names. Throws AppError `backend-unknown`. */
export const handleOf = (deps: VmmDeps, vm: Microvm): MicrovmHandle =>
  deps.vmms.of(vm.backend).reopen(recordOf(deps, vm));

/** Its control group, which was made where the ledger says: the data directory may have another name since. */
export const cgroupOf = async (
  { ledger, paths }: Pick<MicrovmDeps, "ledger" | "paths">,
  vmId: string,
): Promise<string> => (await ledger.of(vmId)).find(({ kind }) => kind === CGROUP)?.ref ?? paths.vm(vmId).cgroup;

/**
 * What may end it. One whose backend this version does not know is left alone for as long as it runs, for the version that started it;
 * afterwards nothing of it is a secret of its backend. Throws AppError `backend-unknown`.
 */
export const endingOf = async (
  deps: VmmDeps & Pick<MicrovmDeps, "ledger">,
  vm: Microvm,
): Promise<Pick<MicrovmHandle, "kill" | "left">> => {
  const record = recordOf(deps, vm);
  record.paths = { ...record.paths, cgroup: await cgroupOf(deps, vm.id) };
  const known = deps.vmms.all.some(({ name }) => name === vm.backend);
  const anyones = handleOfAny(record);
  return known || (await anyones.processes()).length > 0 ? deps.vmms.of(vm.backend).reopen(record) : anyones;
};
