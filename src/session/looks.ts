/** Looks at a session's microVM: when somebody asks, and by itself while something is slow. None of them changes anything. */
import type { GuestChannel } from "../channel/channel.ts";
import type { Warning } from "../contract/session.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import { collectEvidence, type EvidenceFile } from "../diagnosis/evidence.ts";
import type { Logger } from "../lib/logger.ts";
import { examineMicrovm, type Purpose } from "../microvm/examine.ts";
import { createLookout } from "../microvm/lookout.ts";
import type { MicrovmDeps } from "../microvm/microvm.ts";
import type { Microvm } from "../microvm/store.ts";
import { evidenceOf } from "./evidence.ts";
import type { SessionRecord } from "./record.ts";

export type Looks = ReturnType<typeof createLooks>;

export interface LooksOptions {
  deps: MicrovmDeps;
  record: SessionRecord;
  vm: () => Microvm;
  channel: () => GuestChannel | undefined;
  /** Told when the warning is another. */
  onWarning: () => void;
  logger: Logger;
}

export const createLooks = ({ deps, record, vm, channel, onWarning, logger }: LooksOptions) => {
  let warning: Warning | null = null;
  let question: Promise<Examination> | undefined;
  const examine = async (purpose: Purpose): Promise<Examination> => {
    // While it is being started its process is in the record alone.
    const now = (await deps.vms.get(vm().id)) ?? vm();
    return examineMicrovm(deps, now, { stages: record.session.stages, channel: channel(), purpose });
  };
  /** What is to be said of the microVM now; one look for all who ask while it lasts. */
  const diagnose = (): Promise<Examination> => (question ??= examine("question").finally(() => (question = undefined)));
  return {
    diagnose,
    /** The same evidence that is kept at the end, as it is now. */
    evidence: async (): Promise<EvidenceFile[]> =>
      collectEvidence(await evidenceOf(deps, record.session, vm(), { verdict: null, examination: await diagnose() })),
    /** What is in the guest's way now, while its deadline still runs. */
    get warning() {
      return warning;
    },
    /** Told by boot and watch what is slow. */
    lookout: createLookout({
      look: () => examine("warning"),
      onWarning: (found) => {
        warning = found;
        onWarning();
      },
      logger,
    }),
  };
};
