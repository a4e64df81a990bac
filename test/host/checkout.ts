/** This checkout in the test host: carried in as it is, and run there. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { AppError } from "../../src/lib/errors.ts";
import { packageRoot } from "../../src/lib/paths.ts";
import { compileEscape } from "../escape/compile.ts";
import { IN_HOST } from "./prepare.ts";
import { portOf } from "./machine.ts";
import { runInHost, type HostCommand } from "./port.ts";

const execFileAsync = promisify(execFile);

/** Sources and bundles are 6 MiB. */
const MAX_CHECKOUT_BYTES = 256 * 1024 * 1024;

/** All but the packages, which the disk has, the history, and what CI fetched. Replaces what was carried in before. */
export const carryIn = async (folder: string, signal?: AbortSignal): Promise<void> => {
  // There is no compiler in it.
  await compileEscape();
  const stdin = await packCheckout();
  const script = [
    `mkdir -p ${IN_HOST.checkout} && cd ${IN_HOST.checkout}`,
    "find . -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +",
    "tar --no-same-owner -xf -",
  ].join(" && ");
  let said = "";
  const onOutput = (chunk: Buffer): void => void (said += chunk);
  const code = await runInHost(portOf(folder, 0), { command: script, stdin, onOutput, ...(signal ? { signal } : {}) });
  if (code !== 0)
    throw new AppError("internal", "carry-in-failed", `The checkout could not be carried in: ${said.trim()}`);
};

/** Runs a command where the checkout lies, on its Node, with what tests read from the environment. Throws as `runInHost`. */
export const runThere = (folder: string, port: number, options: HostCommand): Promise<number> =>
  runInHost(portOf(folder, port), { ...options, command: `${PROLOGUE}\n${options.command}` });

const PROLOGUE = [
  `cd ${IN_HOST.checkout}`,
  `export PATH=${IN_HOST.checkout}/node_modules/.bin:$PATH SALLYPORT_TEST_CACHE=${IN_HOST.cache}`,
  `export SALLYPORT_TEST_FIRECRACKER=${IN_HOST.binaries} SALLYPORT_TEST_RESULTS=${IN_HOST.results}`,
].join("\n");

const packCheckout = async (): Promise<Buffer> => {
  const leftOut = ["--exclude=./node_modules", "--exclude=./.git", "--exclude=./.ci"];
  const args = ["--create", "--file=-", "--directory", packageRoot(), ...leftOut, "."];
  const { stdout } = await execFileAsync("tar", args, { encoding: "buffer", maxBuffer: MAX_CHECKOUT_BYTES });
  return stdout;
};
