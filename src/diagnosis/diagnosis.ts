/** One look at a microVM: its facts, and what they mean. */
import type { Diagnosis } from "../contract/diagnosis.ts";
import type { Verdict } from "../contract/session.ts";
import { UNKNOWN } from "./codes.ts";
import { collectFacts, type FactOptions } from "./facts.ts";
import { diagnose } from "./verdict.ts";

export type Examination = Awaited<ReturnType<typeof examine>>;

/** Changes nothing; as long as `collectFacts` takes. */
export const examine = async (options: FactOptions) => {
  const startedAt = performance.now();
  const facts = await collectFacts(options);
  return { facts, diagnosis: { ...diagnose(facts), tookMs: Math.round(performance.now() - startedAt) } };
};

/**
 * A symptom's verdict with its cause in front: what was seen first (a missed deadline, a process that is gone) stays among the
 * evidence. With no known cause the symptom's own words stay, and what it is not.
 */
export const explain = (symptom: Verdict, { cause, consequences, ruledOut, isProblem }: Diagnosis): Verdict => {
  const isKnown = isProblem && cause.code !== UNKNOWN;
  const [first, second] = isKnown ? [cause, symptom] : [symptom, cause];
  const evidence = [...first.evidence, ...second.evidence.filter((line) => !first.evidence.includes(line))];
  return { ...symptom, ...(isKnown ? cause : {}), evidence, consequences, ruledOut };
};
