/** What a check is and how one is run: in its own time, with every way it can end turned into a line. */
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { orAfter } from "../lib/wait.ts";
import type { Host } from "./host.ts";

/** `warning`: works, but is worth knowing. `unchecked`: could not be looked at, and why. */
export type Result = "ok" | "warning" | "problem" | "unchecked";

export interface Answer {
  result: Result;
  /** Why, in a sentence. */
  text: string;
  /** The command that mends it, or what to do where none does. */
  remedy?: string;
}

export interface CheckLine extends Answer {
  name: string;
}

export interface Check {
  name: string;
  needsRoot?: boolean;
  /** Default 5 000. */
  deadlineMs?: number;
  /** Changes nothing on the host. */
  look(host: Host): Promise<Answer | Answer[]>;
}

export const ok = (text: string): Answer => ({ result: "ok", text });
export const warning = (text: string, remedy?: string): Answer => said("warning", text, remedy);
export const problem = (text: string, remedy?: string): Answer => said("problem", text, remedy);

/** Never throws. */
export const runCheck = async (check: Check, host: Host): Promise<CheckLine[]> =>
  [await answerOf(check, host)].flat().map((answer) => ({ name: check.name, ...answer }));

const answerOf = async (check: Check, host: Host): Promise<Answer | Answer[]> => {
  const { needsRoot, deadlineMs = 5_000 } = check;
  if (needsRoot && !host.isRoot) return onlyAsRoot("Only root can look at this.");
  try {
    return await orAfter(check.look(host), deadlineMs, () =>
      problem(`No answer within ${deadlineMs / 1000} s: something that was asked hangs.`),
    );
  } catch (error) {
    return failed(error, host);
  }
};

/** A refusal of one part is that part's answer, with its own hint. */
const failed = (error: unknown, { isRoot }: Host): Answer => {
  const isForbidden =
    ["EACCES", "EPERM"].includes(errnoOf(error) ?? "") || (error instanceof AppError && error.code === "needs-root");
  if (isForbidden && !isRoot) return onlyAsRoot(`${messageOf(error).replace(/\.$/, "")}.`);
  return problem(messageOf(error), error instanceof AppError ? error.hint : undefined);
};

const onlyAsRoot = (text: string): Answer => said("unchecked", text, "sudo sallyport doctor");

const said = (result: Result, text: string, remedy: string | undefined): Answer =>
  remedy === undefined ? { result, text } : { result, text, remedy };
