/** Errors for the person at the terminal, and the exit code for the script. */
import type { Warning } from "../contract/session.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { CliContext } from "./context.ts";

/** 128 + SIGINT, as shells have it. */
export const INTERRUPTED = 130;

export const interrupted = (): AppError => new AppError("conflict", "interrupted", "Stopped.");

/** A failed tool's own code; else that of the error's kind; 1 for what nobody foresaw. */
export const exitCodeOf = (error: unknown): number => {
  if (!(error instanceof AppError)) return 1;
  const toolExitCode = error.context?.toolExitCode;
  return typeof toolExitCode === "number" && toolExitCode > 0 ? toolExitCode : error.exitCode;
};

/** With --json the last line of standard output says it too, for a program that reads nothing else. */
export const printError = (error: unknown, context: Pick<CliContext, "isJson" | "out">): void => {
  const { sentence, hint, evidence } = describe(error);
  if (context.isJson()) context.out.jsonLine({ ok: false, verdict: verdictOf(error) });
  context.out.note(sentence);
  for (const line of evidence) context.out.note(`    ${line}`);
  if (hint) context.out.note(`What to do: ${hint}`);
};

export const verdictOf = (error: unknown) => {
  const { code, sentence, hint, evidence } = describe(error);
  return { code, sentence, hint, ...(evidence.length > 0 ? { evidence } : {}) };
};

const describe = (error: unknown): Pick<Warning, "code" | "sentence" | "hint" | "evidence"> => {
  if (!(error instanceof AppError)) {
    const sentence = `Something unforeseen went wrong: ${messageOf(error)}`;
    return { code: "internal", sentence, hint: "This is a bug: please report it with what you did.", evidence: [] };
  }
  const { message, fields = [] } = error;
  // A sentence that already names its fields does not need them twice.
  const sentence = fields.every((field) => message.includes(field)) ? message : `${message} (${fields.join("; ")})`;
  const retry = error.retryAfterSec === undefined ? "" : ` Try again in ${error.retryAfterSec} s.`;
  const evidence = error.context?.evidence;
  return {
    code: error.code,
    sentence,
    hint: `${error.hint ?? ""}${retry}`.trim(),
    evidence: Array.isArray(evidence) ? evidence.filter((line) => typeof line === "string") : [],
  };
};
