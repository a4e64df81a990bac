/** From vitest's report and the tests' own figures to the suite's last line. Pure. */
import { z } from "zod";
import { figures, type Figures } from "./results.ts";

/** The parts of vitest's report in JSON that are read. */
export const report = z.object({
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
  numTodoTests: z.int(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(z.object({ status: z.string(), fullName: z.string() })),
    }),
  ),
});
export type Report = z.infer<typeof report>;

/** Those of several runs, as if it had been one. */
export const together = (reports: Report[]): Report => {
  const sum = (of: (one: Report) => number): number => reports.reduce((total, one) => total + of(one), 0);
  return {
    numPassedTests: sum((one) => one.numPassedTests),
    numFailedTests: sum((one) => one.numFailedTests),
    numPendingTests: sum((one) => one.numPendingTests),
    numTodoTests: sum((one) => one.numTodoTests),
    testResults: reports.flatMap(({ testResults }) => testResults),
  };
};

const CONFORMANCE = /\/conformance[^/]*\.test\.ts$/;

/** Null: no test has said so. */
export type Summary = { [K in keyof Figures]: Figures[K] | null } & {
  conformance: { passed: number; skipped: number; failed: number };
};

/** `texts`: what each file of figures holds. One that cannot be read counts as not written. */
export const summaryOf = (run: Report | undefined, texts: unknown[]): Summary => {
  const known: Partial<Figures> = Object.assign({}, ...texts.map((one) => figures.partial().safeParse(one).data ?? {}));
  const files = run?.testResults.filter(({ name }) => CONFORMANCE.test(name)) ?? [];
  const statuses = files.flatMap(({ assertionResults }) => assertionResults.map(({ status }) => status));
  const passed = statuses.filter((status) => status === "passed").length;
  const failed = statuses.filter((status) => status === "failed").length;
  const broken = files.filter((file) => file.status === "failed" && !failedIn(file)).length;
  return {
    firecracker: known.firecracker ?? null,
    conformance: { passed, skipped: statuses.length - passed - failed, failed: failed + broken },
    signIn: known.signIn ?? null,
    coldMs: known.coldMs ?? null,
    escapes: known.escapes ?? null,
  };
};

/** A file that could not be loaded, or a hook of which failed, has no failed test. */
const failedIn = ({ assertionResults }: Report["testResults"][number]): boolean =>
  assertionResults.some(({ status }) => status === "failed");
