/** `npm run demo`: one whole sign-in on this machine, with an identity provider of its own. */
import { AppError, messageOf } from "../src/lib/errors.ts";
import { AUTO_TIMEOUT_MS, demonstrate, type DemoResult } from "./demonstrate.ts";
import { parseDemoOptions, USAGE } from "./options.ts";
import { inWords } from "./waiting.ts";

const interrupt = new AbortController();
// Once: the second one ends the program at once, as if nobody listened.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interrupt.abort());

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // A reader that has seen enough must not keep the clean-up from happening.
  if (error.code !== "EPIPE") throw error;
});

/**
 * Runs the demo to its end and answers the exit code. With --json the last line of standard output is
 * `{"ok":true,"account","readyMs","coldMs","isWarm","note","timings","receipt"}`, times in milliseconds (`Waiting`), or
 * `{"ok":false,"verdict":{code,sentence,hint}}`.
 */
const runDemo = async (argv: string[], signal: AbortSignal): Promise<number> => {
  let isJson = argv.includes("--json");
  try {
    const options = parseDemoOptions(argv);
    isJson = options.isJson;
    if (options.isHelp) {
      process.stdout.write(USAGE);
      return 0;
    }
    const result = await demonstrate(options, signal, say);
    const { waiting, ...rest } = result;
    if (isJson) process.stdout.write(`${JSON.stringify({ ok: true, ...waiting, ...rest })}\n`);
    else process.stdout.write(`${closingWords(result)}\n`);
    return 0;
  } catch (error) {
    const verdict = verdictOf(error, signal);
    if (isJson) process.stdout.write(`${JSON.stringify({ ok: false, verdict })}\n`);
    say(`\n${verdict.sentence}`);
    if (verdict.hint) say(`What to do: ${verdict.hint}`);
    return 1;
  }
};

const say = (text: string): void => void process.stderr.write(`${text}\n`);

const closingWords = ({ account, receipt, timings, waiting }: DemoResult): string =>
  [
    "",
    `Signed in as ${account}, in ${Math.round((timings.total ?? 0) / 1000)} s all in all.`,
    inWords(waiting),
    `The microVM is gone: ${receipt.body.gone.map(({ kind }) => kind).join(", ")}.`,
  ].join("\n");

const verdictOf = (error: unknown, signal: AbortSignal): { code: string; sentence: string; hint: string } => {
  if (signal.aborted) return { code: "interrupted", sentence: "Stopped; nothing is left of it.", hint: "" };
  if (error instanceof AppError) return { code: error.code, sentence: error.message, hint: error.hint ?? "" };
  if (error instanceof DOMException && error.name === "TimeoutError") {
    const sentence = `The sign-in was not finished within ${AUTO_TIMEOUT_MS / 60_000} minutes.`;
    return { code: "demo-timeout", sentence, hint: "The logs of the run say what was waited for." };
  }
  const sentence = `Something unforeseen went wrong: ${messageOf(error)}`;
  return { code: "internal", sentence, hint: "This is a bug: please report it with the logs of the run." };
};

process.exitCode = await runDemo(process.argv.slice(2), interrupt.signal);
