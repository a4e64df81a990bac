import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { runSuite } from "./run.ts";
import { summaryOf, together, type Report } from "./report.ts";

const file = (name: string, ...statuses: string[]): Report["testResults"][number] => ({
  name: `/checkout/test/firecracker/${name}`,
  status: statuses.includes("failed") || statuses.length === 0 ? "failed" : "passed",
  assertionResults: statuses.map((status) => ({ status, fullName: "x" })),
});
const reportOf = (...testResults: Report["testResults"]): Report => ({
  numPassedTests: 0,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults,
});

test("the last line has the conformance tests by their fate, and each figure that a test kept", () => {
  const run = reportOf(
    file("conformance.test.ts", "passed", "passed", "pending", "failed"),
    file("conformance-jail.test.ts"),
    file("sign-in.test.ts", "passed"),
  );
  expect(summaryOf(run, [{ firecracker: "1.12.1" }, { signIn: "ok", coldMs: 1200 }])).toEqual({
    firecracker: "1.12.1",
    conformance: { passed: 2, skipped: 1, failed: 2 },
    signIn: "ok",
    coldMs: 1200,
    escapes: null,
  });
});

test("files that were run one by one are counted as if they had been one run's", () => {
  const [one, other] = [reportOf(file("kvm.test.ts", "passed")), reportOf(file("choice.test.ts", "failed"))];
  const both = together([
    { ...one, numPassedTests: 1 },
    { ...other, numFailedTests: 1, numPendingTests: 2 },
  ]);
  expect(both).toEqual({
    ...reportOf(...one.testResults, ...other.testResults),
    numPassedTests: 1,
    numFailedTests: 1,
    numPendingTests: 2,
  });
});

test("a figure that is not what it should be counts as none", () => {
  const summary = summaryOf(undefined, [{ signIn: "failed" }, { escapes: { tried: 40 } }, "x", { coldMs: 7 }]);
  expect(summary).toMatchObject({ signIn: null, escapes: null, coldMs: 7, conformance: { passed: 0, failed: 0 } });
});

test("without the programs that is why nothing is run", async () => {
  const { signal } = new AbortController();
  const common = { cacheDir: "/none", files: [], timeoutMs: 0, isKept: false, signal, out: new PassThrough() };
  const run = await runSuite({ ...common, binaries: undefined, say: () => {} });
  expect(run).toMatchObject({
    notRun: expect.stringContaining("no Firecracker binary"),
    summary: { firecracker: null },
  });
});
