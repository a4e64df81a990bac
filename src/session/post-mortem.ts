/** What is found out and kept of a microVM before it goes. Worth much, but destruction is worth more: none of it throws. */
import type { GuestChannel } from "../channel/channel.ts";
import type { Verdict } from "../contract/session.ts";
import { explain, type Examination } from "../diagnosis/diagnosis.ts";
import { keepEvidence } from "../diagnosis/evidence.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { failureOf } from "../microvm/failure.ts";
import { evidenceOf, type Observed } from "./evidence.ts";
import { examineMicrovm } from "../microvm/examine.ts";
import type { MicrovmDeps } from "../microvm/microvm.ts";
import type { Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";

export interface Body {
  deps: MicrovmDeps;
  session: Session;
  vm: Microvm;
  channel: GuestChannel | undefined;
  logger: Logger;
}

/** Why a session failed: the cause behind what was noticed. Keeps the evidence. */
export const failureVerdict = async (error: unknown, body: Body): Promise<Verdict> => {
  const { verdict: seen, isSymptom } = failureOf(error);
  const examination = await examined(body, seen.code);
  const verdict = isSymptom && examination ? explain(seen, examination.diagnosis) : seen;
  await keepRecord(body, { verdict, examination, ending: { state: "failed", outcome: "failed" } });
  return verdict;
};

/** Keeps the evidence. */
export const keepRecord = async ({ deps, session, vm, logger }: Body, observed: Observed): Promise<void> => {
  try {
    await keepEvidence(deps.paths, session.id, await evidenceOf(deps, session, vm, observed));
  } catch (error) {
    logger.error({ error: messageOf(error) }, "evidence could not be kept");
  }
};

const examined = async (body: Body, seen: string): Promise<Examination | undefined> => {
  const { deps, session, vm, channel, logger } = body;
  try {
    // The process of a start that failed is in the record alone; unless it ended by itself, it was ended by us, and tells nothing.
    const started = seen === "vmm-died" ? await deps.vms.get(vm.id) : undefined;
    return await examineMicrovm(deps, started ?? vm, { stages: session.stages, channel, purpose: "verdict" });
  } catch (error) {
    logger.error({ error: messageOf(error) }, "the microVM could not be examined");
    return undefined;
  }
};
