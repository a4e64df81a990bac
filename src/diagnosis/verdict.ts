/** From facts to a verdict. Pure. */
import type { Diagnosis, Facts, Finding } from "../contract/diagnosis.ts";
import { NOTHING_WRONG, STILL_BOOTING, UNKNOWN } from "./codes.ts";
import { foundInOrder, isHealthy } from "./in-order.ts";
import type { Rule } from "./rule.ts";
import { RULES } from "./rules.ts";
import { bootMarkLine, consoleTail } from "./rules/lines.ts";

/**
 * The first rule that fits is the cause, the others that fit are listed under it. Without one: healthy, still booting, or
 * unknown, which says what it is not.
 */
export const diagnose = (facts: Facts, rules: readonly Rule[] = RULES): Diagnosis => {
  const inOrder = foundInOrder(facts);
  const fitting = rules.filter((rule) => rule.when(facts));
  const isFailing = facts.isOverdue || (facts.stage === null && !isHealthy(facts));
  const cause = fitting.find((rule) => !rule.isMinor) ?? (isFailing ? undefined : fitting[0]);
  const others = fitting.filter((rule) => rule !== cause);
  const finding = cause ? findingOf(cause, facts) : withoutRule(facts, isFailing, inOrder);
  return {
    cause: { ...finding, anchor: `docs/verdicts.md#${finding.code}` },
    isProblem: cause !== undefined || isFailing,
    consequences: others.map((rule) => ({ code: rule.code, sentence: rule.sentence(facts) })),
    ruledOut: inOrder,
    tookMs: 0,
  };
};

type Said = Omit<Finding, "anchor">;

const findingOf = ({ code, sentence, hint, evidence }: Rule, facts: Facts): Said => ({
  code,
  sentence: sentence(facts),
  hint,
  evidence: [...evidence(facts), ...notLearned(facts)],
});

const withoutRule = (facts: Facts, isFailing: boolean, inOrder: string[]): Said => {
  if (isFailing) return unknown(facts);
  const evidence = [...inOrder, ...notLearned(facts)];
  if (isHealthy(facts)) {
    const sentence = "Nothing wrong found: the browser is there and can be reached.";
    return { code: NOTHING_WRONG, sentence, hint: "Nothing has to be done.", evidence };
  }
  const doing = facts.plan === "boot" ? "booting" : "coming up from a warm snapshot";
  const sentence = `The guest is still ${doing} (awaited: ${facts.stage}), and nothing is wrong so far.`;
  return { code: STILL_BOOTING, sentence, hint: "Wait, or ask again.", evidence };
};

const unknown = (facts: Facts): Said => ({
  code: UNKNOWN,
  sentence: "Something is wrong, and no rule knows it. What was found in order is listed.",
  hint: "Read the evidence (sallyport evidence SESSION), and report the case: a new rule is one row (docs/adding-a-rule.md).",
  evidence: [
    `host: /health: ${facts.host.reach?.health ?? "not known"}; screen: ${facts.host.reach?.rfb ?? "not known"}`,
    ...(facts.guest ? [`guest: Firefox is ${facts.guest.browser}`] : []),
    ...notLearned(facts),
    bootMarkLine(facts),
    ...consoleTail(facts),
  ],
});

const notLearned = (facts: Facts): string[] => [
  ...(facts.guest === null ? ["the guest's agent is silent: host and console alone speak"] : []),
  ...facts.missing.map((line) => `not learned: ${line}`),
];
