import { describe, expect, test } from "vitest";
import { rowOf, summaryOf, type FaultResult } from "./report.ts";

const result = (number: number, code: string, expected: string, seconds = 1): FaultResult => ({
  number,
  title: `fault ${number}`,
  code,
  expected,
  seconds,
  from: "the question",
  evidence: [],
});

describe("summaryOf", () => {
  test("a fault of which one variant is misnamed is not named", () => {
    const results = [result(1, "a", "a"), result(15, "b", "b"), result(15, "unknown", "c")];
    expect(summaryOf(results).named).toBe(1);
  });

  test("a fault that is misnamed on a clone is not named, and one that is right there is counted", () => {
    const onClone = { ...result(12, "a", "a"), title: "clone: fault 12" };
    const wrongOnClone = { ...result(13, "x", "a"), title: "clone: fault 13" };
    const results = [result(12, "a", "a"), onClone, result(13, "a", "a"), wrongOnClone];
    expect(summaryOf(results)).toMatchObject({ named: 1, namedOnClone: 1 });
  });

  test("a healthy guest that is told to be ill is a false positive and no fault", () => {
    const results = [result(0, "tap-down", "nothing-wrong"), result(0, "nothing-wrong", "nothing-wrong")];
    expect(summaryOf(results)).toEqual({ faults: 24, named: 0, namedOnClone: 0, falsePositives: 1, p95Seconds: 0 });
  });

  test("the 95th percentile leaves one in twenty out, and healthy guests", () => {
    const results = Array.from({ length: 20 }, (_, i) => result(i + 1, "a", "a", i === 7 ? 99 : 2.04));
    expect(summaryOf([...results, result(0, "nothing-wrong", "nothing-wrong", 50)]).p95Seconds).toBe(2);
  });
});

test("a row says what was expected when the verdict is wrong", () => {
  expect(rowOf(result(5, "unknown", "nic-missing"))).toMatch(/ 5 .*fault 5 .*unknown .*WRONG, expected nic-missing/);
  expect(rowOf(result(5, "nic-missing", "nic-missing"))).toContain("right");
});
