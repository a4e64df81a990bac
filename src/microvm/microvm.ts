/** What the making and unmaking of microVMs is handed, and the road from a microVM's record to its VMM. */
import type { Config } from "../config/config.ts";
import type { DataPaths } from "../lib/paths.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import type { Network } from "../network/network.ts";
import type { Db } from "../state/db.ts";
import type { VmmBackends } from "../vmm/backends.ts";
import type { MicrovmHandle } from "../vmm/vmm.ts";
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

/** Of the backend that the record names. Throws AppError `backend-unknown`. */
export const handleOf = (
  { vmms, paths }: Pick<MicrovmDeps, "vmms" | "paths">,
  { id, uid, process, backend }: Microvm,
): MicrovmHandle => vmms.of(backend).reopen({ vmId: id, uid, process, paths: paths.vm(id) });
