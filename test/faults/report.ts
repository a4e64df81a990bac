/** What is told of a run: a table for people, one line of figures at the end. Pure. */
import { FAULT_COUNT } from "./faults.ts";
import type { Judgement } from "./judge.ts";

export interface FaultResult extends Judgement {
  /** 0: no fault, the guest is healthy. */
  number: number;
  title: string;
  expected: string;
}

export interface Summary {
  faults: number;
  /** Faults of which every variant got the right verdict. */
  named: number;
  /** Healthy guests that were told to be ill. */
  falsePositives: number;
  /** 95 of 100 verdicts came within this time of the failure. */
  p95Seconds: number;
}

/** A warning is the same word given early: it counts when it was another. */
export const isRight = ({ code, expected, warning }: FaultResult): boolean =>
  code === expected && (warning === undefined || warning.code === expected);

export const summaryOf = (results: FaultResult[]): Summary => {
  const faults = results.filter(({ number }) => number > 0);
  const wrong = new Set(faults.filter((result) => !isRight(result)).map(({ number }) => number));
  const named = new Set(faults.map(({ number }) => number).filter((number) => !wrong.has(number)));
  return {
    faults: FAULT_COUNT,
    named: named.size,
    falsePositives: results.filter((result) => result.number === 0 && !isRight(result)).length,
    p95Seconds: percentile(
      faults.map(({ seconds }) => seconds),
      95,
    ),
  };
};

export const rowOf = (result: FaultResult): string => {
  const { number, title, code, expected, seconds, from, warning, at } = result;
  const judgement = isRight(result) ? "right" : `WRONG, expected ${expected}`;
  const early = warning && at !== undefined ? `; warned ${((at - warning.at) / 1000).toFixed(1)} s before it` : "";
  return [
    (number || "").toString().padStart(2),
    title.padEnd(44),
    code.padEnd(28),
    judgement,
    `${seconds.toFixed(1)} s from ${from}${early}`,
  ].join("  ");
};

/** Nearest rank, to a tenth; 0 of nothing. */
const percentile = (values: number[], percent: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const value = sorted[Math.ceil((sorted.length * percent) / 100) - 1] ?? 0;
  return Math.round(value * 10) / 10;
};
