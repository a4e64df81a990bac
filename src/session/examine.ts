import type { GuestChannel } from "../channel/channel.ts";
import { awaitedStage } from "../contract/session.ts";
import { examine, type Examination } from "../diagnosis/diagnosis.ts";
import type { MicrovmDeps } from "./microvm.ts";
import { probeHealth, probeRfb } from "./probes.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "./store.ts";

const PROBE_MS = 2000;
const CONTROL_MS = 2000;

export interface Look {
  /** Undefined: the guest is not to be asked, or cannot be. */
  channel: GuestChannel | undefined;
  /** Something was waited for in vain. */
  isOverdue: boolean;
  /** A slow guest gets ten seconds to answer instead of four. */
  isPatient: boolean;
}

/** Looks at a session's microVM, healthy or not, and changes nothing. */
export const examineMicrovm = (
  { config, paths, db, network, vmm }: MicrovmDeps,
  session: Session,
  vm: Microvm,
  look: Look,
): Promise<Examination> => {
  const vmPaths = paths.vm(vm.id);
  const { console: consoleFile, vmmLog } = vmPaths;
  return examine({
    ...look,
    stage: awaitedStage(session.stages),
    nic: vm,
    process: vm.process,
    network,
    machine: async () => {
      const control = await vmm.connect(vmPaths, CONTROL_MS);
      try {
        return await control.status();
      } finally {
        control.close();
      }
    },
    consoleFile,
    vmmLog,
    dataDir: config.dataDir,
    probes: {
      health: () => probeHealth(vm.address, PROBE_MS),
      rfb: () => probeRfb(vm.address, PROBE_MS),
    },
    vmId: vm.id,
    holderOf: async (address) =>
      (await db.selectFrom("leases").select("vm_id").where("address", "=", address).executeTakeFirst())?.vm_id,
  });
};
