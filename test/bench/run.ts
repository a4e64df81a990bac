/** Benchmarks, one after the other, and their page. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../src/lib/paths.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import type { BenchContext, Benchmark } from "./bench.ts";
import { create } from "./create.ts";
import { density } from "./density.ts";
import { diagnose } from "./diagnose.ts";
import { disk } from "./disk.ts";
import { idle } from "./idle.ts";
import { image } from "./image.ts";
import { describeMachine } from "./machine.ts";
import { pageWith } from "./page.ts";
import { start } from "./start.ts";
import { view } from "./view.ts";

/** In the order of the page. */
export const BENCHMARKS = { start, create, disk, density, view, image, idle, diagnose } satisfies Record<
  string,
  Benchmark
>;
export type BenchName = keyof typeof BENCHMARKS;
export const BENCH_NAMES = Object.keys(BENCHMARKS) as BenchName[];

/** Writes each into the page as soon as it is measured. Answers the figures by name. */
export const runBenchmarks = async (names: readonly BenchName[], context: BenchContext) => {
  const file = join(packageRoot(), "docs/benchmarks.md");
  const figures: Partial<Record<BenchName, Record<string, unknown>>> = {};
  for (const name of names) {
    context.signal.throwIfAborted();
    const benchmark = BENCHMARKS[name];
    const machine = describeMachine();
    context.say(`${name}: ${benchmark.title}`);
    const { figures: measured, ...section } = await benchmark.run(context);
    for (const cells of section.table) context.say(`  ${cells.join("  |  ")}`);
    const { title, about } = benchmark;
    const page = await unlessMissing(readFile(file, "utf8"), "");
    await writeFile(file, pageWith(page, [{ name, title, about, machine, ...section }], BENCH_NAMES));
    figures[name] = measured;
  }
  return figures;
};
