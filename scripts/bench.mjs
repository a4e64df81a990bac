/**
 * `npm run bench`: what a session costs, beside what it could cost at best. Not a test: nothing passes or fails by time. `--only NAME` (may be
 * repeated), `--backend qemu|firecracker`, `--rounds N` and `--cold N` of `start`, whose rounds take
 * minutes, `--json`: the figures as the last line of standard output. Writes docs/benchmarks.md.
 */
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { reportAndExit } from "./prepare.mjs";
import { Refusal } from "./refusal.mjs";
import { say } from "./run.mjs";

const main = async () => {
  const { values } = parseArgs({
    options: {
      json: { type: "boolean" },
      only: { type: "string", multiple: true },
      backend: { type: "string", default: "qemu" },
      rounds: { type: "string", default: "5" },
      cold: { type: "string", default: "5" },
    },
  });
  await build();
  const { testCache } = await import("../test/cache.ts");
  const { VMM_NAMES } = await import("../src/lib/vmm-names.ts");
  const { BENCH_NAMES, runBenchmarks } = await import("../test/bench/run.ts");
  const names = BENCH_NAMES.filter((name) => values.only?.includes(name) ?? true);
  const unknown = values.only?.find((name) => !BENCH_NAMES.some((known) => known === name));
  if (unknown !== undefined)
    throw new Refusal(`There is no benchmark "${unknown}".`, `Known: ${BENCH_NAMES.join(", ")}.`);
  const backend = VMM_NAMES.find((known) => known === values.backend);
  if (!backend) throw new Refusal(`There is no backend "${values.backend}".`, `Known: ${VMM_NAMES.join(", ")}.`);
  const interrupt = new AbortController();
  for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
    process.once(signal, () => interrupt.abort(new Refusal("Interrupted.", "What was measured before is written.")));
  const rounds = Math.max(Math.trunc(Number(values.rounds)) || 5, 1);
  const coldRounds = Math.max(Math.trunc(Number(values.cold)) || 0, 0);
  const context = { backend, rounds, coldRounds, cacheDir: testCache(), say, signal: interrupt.signal };
  const figures = await runBenchmarks(names, context);
  // What others want to know first, at the top.
  const { backends = {}, ...start } = figures.start ?? {};
  if (values.json) console.log(JSON.stringify({ backends, ...figures, ...(figures.start ? { start } : {}) }));
};

await main().catch(reportAndExit);
