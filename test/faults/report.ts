/** What is told of a run: a table for people, one line of figures at the end. Pure. */
import { CLONE_MARK, FAULT_COUNT } from "./faults.ts";
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
  /** Faults that were made on a clone, and were named there. */
  namedOnClone: number;
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
  return {
    faults: FAULT_COUNT,
    named: namedIn(faults),
    namedOnClone: namedIn(faults.filter(({ title }) => title.startsWith(CLONE_MARK))),
    falsePositives: results.filter((result) => result.number === 0 && !isRight(result)).length,
    p95Seconds: percentile(
      faults.map(({ seconds }) => seconds),
      95,
    ),
  };
};

const namedIn = (faults: FaultResult[]): number => {
  const wrong = new Set(faults.filter((result) => !isRight(result)).map(({ number }) => number));
  return new Set(faults.map(({ number }) => number).filter((number) => !wrong.has(number))).size;
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
