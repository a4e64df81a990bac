/** The suite in the test host: what goes in, vitest's words as they come, what comes out. */
import { cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "../../src/lib/errors.ts";
import { run } from "../../src/lib/exec.ts";
import { jsonOf } from "../../src/lib/json.ts";
import { packageRoot } from "../../src/lib/paths.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { msUntil } from "../../src/lib/wait.ts";
import { tellImage } from "../cache.ts";
import { carryIn, runThere } from "../host/checkout.ts";
import {
  consoleOf,
  hasTestHost,
  hostFolderOf,
  MEMORY_MIB,
  PORTS,
  startTestHost,
  type TestHost,
} from "../host/machine.ts";
import { IN_HOST, prepareTestHost } from "../host/prepare.ts";
import { report, together, type Report } from "./report.ts";
import { REPORT, vitestArguments, type PlaceOptions, type RunInPlace } from "./suite.ts";

/** What a run that hangs may take to hand its results out. */
const BRING_OUT_TIMEOUT_MS = 60_000;
/** Logs, pictures and consoles of tests with real guests; the images that they link to are here anyway. */
const LEFT_IN_CACHE = ["boot-data", "e2e-logs"];
const HAD_ANYWAY = ["rootfs.ext4", "vmlinux", "initrd", "images"];

/** What nests virtual machines by emulation does not always hold: one that ends under its tests says nothing about them. */
const MOST_HOSTS_PER_FILE = 3;

/** A host that runs already for this checkout is used, and left as it was. One file after the other: of one that was lost, no more is. */
export const runInTestHost: RunInPlace = async (options) => {
  const { cacheDir, binaries, results, timeoutMs, isKept, say, signal } = options;
  const parts = await prepareTestHost({ cacheDir, binaries, onProgress: tellImage(say), signal });
  const folder = hostFolderOf(packageRoot());
  const deadline = performance.now() + timeoutMs;
  const reports: Report[] = [];
  let exitCode = 0;
  let hosts = 0;
  const begin = async (takesTurns = false): Promise<TestHost> => {
    hosts += 1;
    say(`Starting an emulated machine, in which KVM works${takesTurns ? ", on one processor" : ""}.`);
    const host = await startTestHost({ ...parts, folder, memoryMib: MEMORY_MIB, takesTurns, signal });
    await carryIn(folder, signal);
    return host;
  };
  /** Where its console is brought out. */
  const console = (): string => (hosts < 2 ? "host-console.log" : `host-console-${hosts}.log`);
  const runFile = async (file: string): Promise<void> => {
    const inside = { ...options, files: [file], timeoutMs: msUntil(deadline) };
    exitCode = Math.max(exitCode, await runInside(folder, inside, console()));
    const text = await unlessMissing(readFile(join(results, REPORT), "utf8"), "");
    const read = report.safeParse(jsonOf(text)).data;
    if (read) reports.push(read);
  };

  const isThere = await hasTestHost(folder, parts.workDisk);
  if (isThere) {
    say("In the emulated machine that runs.");
    await carryIn(folder, signal);
  }
  let host = isThere ? undefined : await begin();
  try {
    for (const file of options.files.length > 0 ? options.files : await allFiles()) {
      for (let count = 1; ; count += 1) {
        try {
          await runFile(file);
          break;
        } catch (error) {
          const hasEnded = error instanceof AppError && error.code === "test-host-gone";
          if (!host || !hasEnded || count === MOST_HOSTS_PER_FILE) throw error;
          say(`The emulated machine ended under ${file}, which begins anew in another; its last words: ${console()}`);
          await host.stop();
          host = await begin(count + 1 === MOST_HOSTS_PER_FILE);
        }
      }
    }
    return { exitCode, root: IN_HOST.checkout };
  } finally {
    await writeFile(join(results, REPORT), JSON.stringify(together(reports)));
    if (isKept && host) {
      say("The machine stays until Ctrl-C: node_modules/.bin/node scripts/host.mjs run 'COMMAND'");
      await host.ended;
    }
    await host?.stop();
  }
};

const allFiles = async (): Promise<string[]> => {
  const names = await readdir(import.meta.dirname);
  const elsewhere = "report.test.ts";
  return names
    .filter((name) => name.endsWith(".test.ts") && name !== elsewhere)
    .map((name) => `test/firecracker/${name}`);
};

const runInside = async (folder: string, options: PlaceOptions, console: string): Promise<number> => {
  const { results, say } = options;
  await rm(join(results, REPORT), { force: true });
  try {
    return await runTests(folder, options);
  } finally {
    await bringOut(folder, results, console).catch((error: unknown) =>
      say(`Not all results came out: ${messageOf(error)}`),
    );
  }
};

const runTests = async (folder: string, { files, timeoutMs, out, signal }: PlaceOptions): Promise<number> => {
  const words = vitestArguments(files, `${IN_HOST.results}/${REPORT}`).map(quoted);
  const command = `rm -rf ${IN_HOST.results}; ${colour()} vitest ${words.join(" ")}`;
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const onOutput = (chunk: Buffer): void => void out.write(chunk);
    return await runThere(folder, 0, { command, onOutput, signal: AbortSignal.any([signal, deadline]) });
  } catch (cause) {
    signal.throwIfAborted();
    if (!deadline.aborted) throw cause;
    throw new AppError("timeout", "suite-too-long", `The tests had not ended after ${Math.round(timeoutMs / 1000)} s.`);
  }
};

const bringOut = async (folder: string, results: string, console: string): Promise<void> => {
  await cp(consoleOf(folder), join(results, console));
  const leftOut = HAD_ANYWAY.map((name) => `--exclude=${name}`).join(" ");
  const { cache, results: there } = IN_HOST;
  const left = `-C ${there} . -C ${cache} $(cd ${cache}; ls -d ${LEFT_IN_CACHE.join(" ")} 2>/dev/null)`;
  const command = `mkdir -p ${there}; tar --create ${leftOut} ${left} 2>/dev/null`;
  const chunks: Buffer[] = [];
  // On a port of its own: the tests may still have theirs.
  await runThere(folder, PORTS[1] ?? 1, {
    command,
    onOutput: (chunk) => void chunks.push(Buffer.from(chunk)),
    signal: AbortSignal.timeout(BRING_OUT_TIMEOUT_MS),
  });
  const archive = join(results, "brought-out.tar");
  await writeFile(archive, Buffer.concat(chunks));
  await run("tar", ["--extract", "--no-same-owner", "--file", archive, "--directory", results]);
  await rm(archive);
};

const colour = (): string => (process.stdout.isTTY ? "FORCE_COLOR=1" : "NO_COLOR=1");

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
