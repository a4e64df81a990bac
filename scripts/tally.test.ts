import { describe, expect, test } from "vitest";
import { addUp, exitCodeFor, linesOf, notRun, tallyOf } from "./tally.mjs";

const report = {
  numPassedTests: 3,
  numFailedTests: 1,
  numPendingTests: 1,
  numTodoTests: 0,
  testResults: [
    { name: "/root/a.test.ts", status: "failed", assertionResults: [{ status: "failed", fullName: "a breaks" }] },
    { name: "/root/b.test.ts", status: "passed", assertionResults: [{ status: "passed", fullName: "b works" }] },
  ],
};

describe("tallyOf", () => {
  test("names the tests that failed, by file", () => {
    expect(tallyOf("unit", 1, report, "/root")).toEqual({
      passed: 3,
      failed: 1,
      skipped: 1,
      failures: ["a.test.ts: a breaks"],
    });
  });

  test("a file that cannot be loaded is a failure although no test of it ran", () => {
    const broken = { ...report, testResults: [{ name: "/root/c.test.ts", status: "failed", assertionResults: [] }] };
    expect(tallyOf("unit", 1, broken, "/root").failures).toEqual(["c.test.ts: outside a test"]);
  });

  test("a run that ends badly without a failed test is a failure", () => {
    expect(tallyOf("boot", 1, { ...report, testResults: [] }, "/root").failed).toBe(1);
  });

  test("a run without a report is a failure", () => {
    expect(tallyOf("e2e", 143, undefined, "/root")).toMatchObject({ passed: 0, failed: 1 });
  });
});

test("addUp sums all runs", () => {
  const one = tallyOf("unit", 1, report, "/root");
  expect(addUp([one, one])).toMatchObject({ passed: 6, failed: 2, skipped: 2 });
});

test("what was not run is skipped and said, and is no success by itself", () => {
  const left = notRun("firecracker", "no binary");
  expect(exitCodeFor(left)).toBe(1);
  const all = addUp([tallyOf("unit", 0, { ...report, testResults: [] }, "/root"), left]);
  expect(exitCodeFor(all)).toBe(0);
  expect(linesOf(all)).toBe("\nNot run:\n  firecracker: no binary\n\n3 passed, 0 failed, 2 skipped\n");
});
