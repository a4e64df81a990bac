/**
 * `npm run faults`: every fault that diagnosis must name, in real guests and on a real host network, and what it said.
 * `--json`: figures as the last line of standard output. Numbers as arguments: those faults only.
 */
import { say } from "./run.mjs";

const args = process.argv.slice(2);
const only = args.filter((arg) => /^\d+$/.test(arg)).map(Number);
const { tellImage, testCache } = await import("../test/cache.ts");
const { runFaults } = await import("../test/faults/run.ts");
const { FAULT_COUNT } = await import("../test/faults/faults.ts");
const { isRight, rowOf, summaryOf } = await import("../test/faults/report.ts");

const interrupt = new AbortController();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
  process.once(signal, () => interrupt.abort());
const results = await runFaults({
  cacheDir: testCache(),
  only,
  signal: interrupt.signal,
  onProgress: tellImage(say),
  onResult: (result) => say(rowOf(result)),
});

console.log(results.map(rowOf).join("\n"));
for (const result of results.filter((one) => !isRight(one))) {
  console.log(`\n${result.title}: ${result.code}\n${result.evidence.map((line) => `  ${line}`).join("\n")}`);
}
const summary = summaryOf(results);
const wanted = only.length > 0 ? new Set(only).size : FAULT_COUNT;
if (args.includes("--json")) console.log(JSON.stringify(summary));
else
  console.log(
    `\n${summary.named} of ${wanted} faults named, ${summary.namedOnClone} on a clone, too, ${summary.falsePositives} false positives, 95 % within ${summary.p95Seconds} s`,
  );
process.exitCode = summary.named === wanted && summary.falsePositives === 0 ? 0 : 1;
