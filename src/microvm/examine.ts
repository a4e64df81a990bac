import type { GuestChannel } from "../channel/channel.ts";
import { awaitedStage, isPassed, planOf, type StageRecord } from "../contract/session.ts";
import { examine, type Examination } from "../diagnosis/diagnosis.ts";
import { cgroupOf, handleOf, type MicrovmDeps } from "./microvm.ts";
import { probeHealth, probeRfb } from "./probes.ts";
import type { Microvm } from "./store.ts";

const PROBE_MS = 2000;
const CONTROL_MS = 2000;

/** `verdict`: something was waited for in vain. `question`: somebody asks. `warning`: something is slow (lookout.ts). */
export type Purpose = "verdict" | "question" | "warning";

/**
 * What the guest gets to answer in: starting a program takes seconds in one that is short of processors, but a missed
 * deadline is to be explained within five.
 */
const GUEST_MS: Record<Purpose, number> = { verdict: 3500, question: 9500, warning: 3500 };
/** A guest that has never said a word will hardly begin now. */
const UNHEARD_GUEST_MS = 1500;

export interface Look {
  /** Those passed so far. */
  stages: StageRecord[];
  /** Undefined: it was never opened. */
  channel: GuestChannel | undefined;
  purpose: Purpose;
}

/** Looks at a microVM, healthy or not, and changes nothing. */
export const examineMicrovm = async (
  deps: MicrovmDeps,
  vm: Microvm,
  { stages, channel, purpose }: Look,
): Promise<Examination> => {
  const { config, db, network } = deps;
  const { console: consoleFile, vmmLog } = deps.paths.vm(vm.id);
  const isHeard = isPassed(stages, "agent") || isPassed(stages, "identity");
  return examine({
    // Not in passing before its agent has spoken: questions would queue up for its start.
    channel: isHeard || purpose !== "warning" ? channel : undefined,
    isOverdue: purpose === "verdict",
    guestTimeoutMs: isHeard ? GUEST_MS[purpose] : UNHEARD_GUEST_MS,
    stage: awaitedStage(stages),
    plan: planOf(stages),
    nic: vm,
    process: vm.process,
    network,
    machine: async () => handleOf(deps, vm).status(CONTROL_MS),
    consoleFile,
    vmmLog,
    cgroup: await cgroupOf(deps, vm.id),
    exitCodes: deps.vmms.all.find(({ name }) => name === vm.backend)?.exitCodes ?? {},
    dataDir: config.dataDir,
    probes: { health: () => probeHealth(vm.address, PROBE_MS), rfb: () => probeRfb(vm.address, PROBE_MS) },
    vmId: vm.id,
    holderOf: async (address) =>
      (await db.selectFrom("leases").select("vmId").where("address", "=", address).executeTakeFirst())?.vmId,
  });
};
