/** Puts together what is kept of a session: its records, its files, and which programs it ran on. */
import { release } from "node:os";
import { redactedConfig } from "../config/redacted.ts";
import type { Verdict } from "../contract/session.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import type { EvidenceInput } from "../diagnosis/evidence.ts";
import { ownVersion } from "../lib/version.ts";
import { startedVersion } from "../vmm/started.ts";
import type { MicrovmDeps } from "../microvm/microvm.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";

export interface Observed {
  /** The verdict that is being given, before the session's record has it. */
  verdict: Verdict | null;
  /** Undefined when nobody looked: the session ends well. */
  examination: Examination | undefined;
  /** How the session ends, before its record says so; absent while it lives. */
  ending?: Pick<Session, "state" | "outcome">;
}

/** All of it, for `diagnosis/evidence.ts` to gather. */
export const evidenceOf = async (
  { config, paths }: Pick<MicrovmDeps, "config" | "paths">,
  session: Session,
  vm: Microvm,
  observed: Observed,
): Promise<EvidenceInput> => ({
  // Whose session it was is nobody's business who is sent this.
  about: {
    sessionId: session.id,
    provider: session.provider,
    state: observed.ending?.state ?? session.state,
    outcome: observed.ending?.outcome ?? session.outcome,
    createdAt: session.createdAt,
    expiresAt: session.expiresAt,
    openedHost: session.openedHost,
    writtenAt: new Date().toISOString(),
    microvm: shownOf(vm),
  },
  vm: paths.vm(vm.id),
  stages: session.stages,
  verdict: observed.verdict,
  facts: observed.examination?.facts ?? null,
  diagnosis: observed.examination?.diagnosis ?? null,
  config: redactedConfig(config),
  versions: {
    sallyport: ownVersion(),
    node: process.version,
    // The one that runs it, whatever is installed by now.
    [vm.backend]: (await startedVersion(paths.vm(vm.id))) ?? "not started",
    hostKernel: release(),
    image: vm.imageDigest,
  },
});

const shownOf = ({ id, backend, accel, why, tap, mac, address, uid }: Microvm) => {
  return { id, backend, accel, why, tap, mac, address, uid };
};
