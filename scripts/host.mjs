/**
 * The machine that microVMs of the tests run on where this one has no KVM, by hand, one for each checkout:
 * `up` (until Ctrl-C), `push` (this checkout again), `run [--port N] [--stdin] COMMAND` (where the checkout lies).
 */
import { tellImage, testCache } from "../test/cache.ts";
import { consoleOf, hostFolderOf, MEMORY_MIB, PORTS, startTestHost } from "../test/host/machine.ts";
import { carryIn, runThere } from "../test/host/checkout.ts";
import { prepareTestHost } from "../test/host/prepare.ts";
import { parseArgs } from "node:util";
import { buffer } from "node:stream/consumers";
import { build } from "./build.mjs";
import { Refusal } from "./refusal.mjs";
import { reportAndExit } from "./prepare.mjs";
import { ROOT, say } from "./run.mjs";

const USAGE = "Usage: node scripts/host.mjs up [--memory MIB] | push | run [--port N] [--stdin] COMMAND";
const folder = hostFolderOf(ROOT);
const interrupt = new AbortController();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]))
  process.once(signal, () => interrupt.abort(new Refusal("Interrupted.", "")));
const { signal } = interrupt;

/** @param {number} memoryMib */
const up = async (memoryMib) => {
  const binaries = process.env.SALLYPORT_TEST_FIRECRACKER;
  if (!binaries) throw new Refusal("No Firecracker binary.", "Name its folder: SALLYPORT_TEST_FIRECRACKER=DIR");
  await build();
  const parts = await prepareTestHost({ cacheDir: testCache(), binaries, onProgress: tellImage(say), signal });
  const host = await startTestHost({ ...parts, folder, memoryMib, signal });
  await carryIn(folder, signal);
  say(`Up. Its console: ${consoleOf(folder)}`);
  await host.ended;
};

/** @param {{ port: string, stdin: boolean }} options @param {string[]} words */
const run = async ({ port, stdin }, words) => {
  if (!PORTS.includes(Number(port))) throw new Refusal(`There is no port ${port}.`, `Ports: ${PORTS.join(", ")}.`);
  return runThere(folder, Number(port), {
    command: words.join(" "),
    onOutput: (chunk) => process.stdout.write(chunk),
    signal,
    ...(stdin ? { stdin: await buffer(process.stdin) } : {}),
  });
};

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: "string", default: "0" },
      stdin: { type: "boolean", default: false },
      memory: { type: "string", default: String(MEMORY_MIB) },
    },
  });
  const [verb, ...words] = positionals;
  if (verb === "up") await up(Number(values.memory));
  else if (verb === "push") await carryIn(folder, signal);
  else if (verb === "run" && words.length > 0) process.exitCode = await run(values, words);
  else throw new Refusal("Nothing to do.", USAGE);
} catch (error) {
  reportAndExit(error);
}
