import type { GuestChannel } from "../channel/channel.ts";
import { awaitedStage } from "../contract/session.ts";
import { examine, type Examination } from "../diagnosis/diagnosis.ts";
import type { MicrovmDeps } from "./microvm.ts";
import { probeHealth, probeRfb } from "./probes.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "./store.ts";

const PROBE_MS = 2000;

/** Looks at a session's microVM, healthy or not, and changes nothing. `isOverdue`: something was waited for in vain. */
export const examineMicrovm = (
  { config, paths, db, network }: MicrovmDeps,
  session: Session,
  vm: Microvm,
  look: { channel: GuestChannel | undefined; isOverdue: boolean },
): Promise<Examination> => {
  const { console: consoleFile, vmmLog } = paths.vm(vm.id);
  return examine({
    ...look,
    stage: awaitedStage(session.stages),
    nic: vm,
    process: vm.process,
    network,
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
