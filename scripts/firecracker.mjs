/**
 * `npm run test:firecracker`: all tests that need Firecracker, where KVM works or in an emulated machine. Arguments name test files.
 * `--json`: the figures as the last line of standard output. `--keep`: the emulated machine stays until Ctrl-C.
 */
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { reportAndExit } from "./prepare.mjs";
import { Refusal } from "./refusal.mjs";
import { ROOT, say } from "./run.mjs";
import { exitCodeFor, failed, linesOf, notRun, tallyOf } from "./tally.mjs";

/** For the tests alone. */
const TIMEOUT_MS = 45 * 60_000;

/** Those of `npm test`, which has an hour: of the others each needs guests up to their agent or further, in a KVM that is emulated itself. */
export const SHORT_FILES = ["kvm", "conformance", "escapes", "choice"].map(
  (name) => `test/firecracker/${name}.test.ts`,
);

/**
 * Throws the signal's reason.
 * @param {{ files?: string[], isKept?: boolean, timeoutMs?: number, signal: AbortSignal, out: NodeJS.WritableStream }} options
 */
export const testFirecracker = async ({ files = [], isKept = false, timeoutMs = TIMEOUT_MS, signal, out }) => {
  await build();
  const { testCache } = await import("../test/cache.ts");
  const { runSuite } = await import("../test/firecracker/run.ts");
  const run = await runSuite({
    binaries: process.env.SALLYPORT_TEST_FIRECRACKER,
    cacheDir: testCache(),
    files,
    isKept,
    timeoutMs: Math.min(Math.max(timeoutMs, 0), TIMEOUT_MS),
    signal,
    out,
    say,
  });
  return { tally: tallyOfRun(run), summary: run.summary };
};

/** @param {import("../test/firecracker/run.ts").SuiteRun} run */
const tallyOfRun = (run) => {
  if ("notRun" in run) return notRun("firecracker", run.notRun);
  if ("failure" in run) return failed("firecracker", run.failure);
  return tallyOf("firecracker", run.exitCode, run.report, run.root);
};

const main = async () => {
  const options = /** @type {const} */ ({ json: { type: "boolean" }, keep: { type: "boolean" } });
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  const { json: isJson = false, keep: isKept = false } = values;
  const interrupt = new AbortController();
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
    process.once(signal, () => interrupt.abort(new Refusal("Interrupted.", "The emulated machine has ended.")));
  const out = isJson ? process.stderr : process.stdout;
  const { tally, summary } = await testFirecracker({ files: positionals, isKept, signal: interrupt.signal, out });
  out.write(linesOf(tally));
  if (isJson) console.log(JSON.stringify(summary));
  process.exitCode = exitCodeFor(tally);
};

if (process.argv[1] === `${ROOT}/scripts/firecracker.mjs`) await main().catch(reportAndExit);
