/** `sallyport demo`: one whole sign-in on this machine, with an identity provider of its own. */
import { AppError, messageOf } from "../lib/errors.ts";
import { AUTO_TIMEOUT_MS, demonstrate, type DemoResult } from "./demonstrate.ts";
import { parseDemoOptions, USAGE } from "./options.ts";

export interface DemoSurroundings {
  /** Aborted by Ctrl-C; everything is cleaned up then, too. */
  signal: AbortSignal;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

/**
 * Runs the demo to its end and answers the exit code. With --json the last line of standard output is
 * `{"ok":true,"account","timings","receipt"}`, times in milliseconds, or `{"ok":false,"verdict":{code,sentence,hint}}`.
 */
export const runDemo = async (argv: string[], surroundings: DemoSurroundings): Promise<number> => {
  const say = (text: string): void => void surroundings.stderr.write(`${text}\n`);
  let isJson = argv.includes("--json");
  try {
    const options = parseDemoOptions(argv);
    isJson = options.isJson;
    if (options.isHelp) {
      surroundings.stdout.write(USAGE);
      return 0;
    }
    const result = await demonstrate(options, surroundings.signal, say);
    const { account, timings, receipt } = result;
    if (isJson) surroundings.stdout.write(`${JSON.stringify({ ok: true, account, timings, receipt })}\n`);
    else surroundings.stdout.write(`${closingWords(result)}\n`);
    return 0;
  } catch (error) {
    const verdict = verdictOf(error, surroundings.signal);
    if (isJson) surroundings.stdout.write(`${JSON.stringify({ ok: false, verdict })}\n`);
    say(`\n${verdict.sentence}`);
    if (verdict.hint) say(`What to do: ${verdict.hint}`);
    return 1;
  }
};

const closingWords = ({ account, receipt, timings }: DemoResult): string =>
  [
    "",
    `Signed in as ${account}, in ${Math.round((timings.total ?? 0) / 1000)} s all in all.`,
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
