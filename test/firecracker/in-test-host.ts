/** The suite in the test host: what goes in, vitest's words as they come, what comes out. */
import { cp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, messageOf } from "../../src/lib/errors.ts";
import { run } from "../../src/lib/exec.ts";
import { packageRoot } from "../../src/lib/paths.ts";
import { tellImage } from "../cache.ts";
import { carryIn, runThere } from "../host/checkout.ts";
import { consoleOf, hasTestHost, hostFolderOf, MEMORY_MIB, PORTS, startTestHost } from "../host/machine.ts";
import { IN_HOST, prepareTestHost } from "../host/prepare.ts";
import { REPORT, vitestArguments, type PlaceOptions, type RunInPlace } from "./suite.ts";

/** What a run that hangs may take to hand its results out. */
const BRING_OUT_TIMEOUT_MS = 60_000;
/** Logs, pictures and consoles of tests with real guests; the images that they link to are here anyway. */
const LEFT_IN_CACHE = ["boot-data", "e2e-logs"];
const HAD_ANYWAY = ["rootfs.ext4", "vmlinux", "initrd", "images"];

/** A host that runs already for this checkout is used, and left as it was. */
export const runInTestHost: RunInPlace = async (options) => {
  const { cacheDir, binaries, results, isKept, say, signal } = options;
  const parts = await prepareTestHost({ cacheDir, binaries, onProgress: tellImage(say), signal });
  const folder = hostFolderOf(packageRoot());
  const isThere = await hasTestHost(folder, parts.workDisk);
  say(isThere ? "In the emulated machine that runs." : "Starting an emulated machine, in which KVM works.");
  const host = isThere ? undefined : await startTestHost({ ...parts, folder, memoryMib: MEMORY_MIB, signal });
  try {
    await carryIn(folder, signal);
    return { exitCode: await runTests(folder, options), root: IN_HOST.checkout };
  } finally {
    await bringOut(folder, results).catch((error: unknown) => say(`Not all results came out: ${messageOf(error)}`));
    if (host && isKept) {
      say("The machine stays until Ctrl-C: node_modules/.bin/node scripts/host.mjs run 'COMMAND'");
      await host.ended;
    }
    await host?.stop();
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

const bringOut = async (folder: string, results: string): Promise<void> => {
  await cp(consoleOf(folder), join(results, "host-console.log"));
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
