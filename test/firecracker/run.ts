/**
 * Runs the tests of this folder where KVM works: on this machine, or else in an emulated one (test/host). Vitest's report and what
 * tests kept come out in one folder either way.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { buildImage } from "../../src/image/build.ts";
import { AppError, messageOf } from "../../src/lib/errors.ts";
import { jsonOf } from "../../src/lib/json.ts";
import { dataPaths, packageRoot } from "../../src/lib/paths.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { probeKvm } from "../../src/vmm/qemu/kvm-probe.ts";
import { tellImage } from "../cache.ts";
import { runInTestHost } from "./in-test-host.ts";
import { report, summaryOf } from "./report.ts";
import { isFigures } from "./results.ts";
import { REPORT, vitestArguments, type PlaceOptions, type RunInPlace, type SuiteOptions } from "./suite.ts";

export type SuiteRun = Awaited<ReturnType<typeof runSuite>>;

/** The sentence `notRun` or `failure`, or how vitest ended. Throws the signal's reason and nothing else. */
export const runSuite = async (options: SuiteOptions) => {
  const { binaries, cacheDir, signal, say } = options;
  if (!binaries) {
    const notRun = "no Firecracker binary (SALLYPORT_TEST_FIRECRACKER names the folder of firecracker and jailer)";
    return { notRun, summary: summaryOf(undefined, []) };
  }
  const results = join(cacheDir, "firecracker-results");
  await rm(results, { recursive: true, force: true });
  await mkdir(results, { recursive: true });
  const ended = await runWhereKvmWorks({ ...options, binaries, results }).catch((error: unknown) => {
    signal.throwIfAborted();
    return { failure: messageOf(error) };
  });
  say(`Report, logs and pictures: ${results}`);
  const run = report.safeParse(jsonOf(await unlessMissing(readFile(join(results, REPORT), "utf8"), ""))).data;
  return { ...ended, report: run, summary: summaryOf(run, await readFigures(results)) };
};

const runWhereKvmWorks = async (options: PlaceOptions) => {
  const { binaries, cacheDir, say, signal } = options;
  const missing = ["firecracker", "jailer"].filter((name) => !existsSync(join(binaries, name)));
  if (missing.length > 0)
    throw new AppError("not-found", "no-binaries", `No ${missing.join(" and no ")} in ${binaries}.`);
  const paths = dataPaths(cacheDir);
  const { image } = await buildImage({ name: "default", paths, onProgress: tellImage(say), signal });
  const { usable, reason } = await probeKvm({ vmlinux: image.vmlinux, cacheFile: paths.kvmProbe });
  say(reason);
  return usable ? runHere(options) : runInTestHost(options);
};

const runHere: RunInPlace = async ({ binaries, cacheDir, results, files, timeoutMs, signal, out }) => {
  const vitest = join(packageRoot(), "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, ...vitestArguments(files, join(results, REPORT))], {
    cwd: packageRoot(),
    env: {
      ...process.env,
      SALLYPORT_TEST_CACHE: cacheDir,
      SALLYPORT_TEST_FIRECRACKER: binaries,
      SALLYPORT_TEST_RESULTS: results,
    },
    stdio: ["ignore", "pipe", "pipe"],
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  });
  for (const stream of [child.stdout, child.stderr]) stream.pipe(out, { end: false });
  const [code] = await once(child, "close");
  return { exitCode: Number(code ?? 1), root: packageRoot() };
};

const readFigures = async (results: string): Promise<unknown[]> => {
  const names = (await readdir(results)).filter(isFigures);
  return Promise.all(names.map(async (name) => jsonOf(await readFile(join(results, name), "utf8"))));
};
