/** The small process of spawner.ts: runs each program it is asked for, and ends with whoever started it. */
import { AppError, messageOf } from "./errors.ts";
import { runHere } from "./exec.ts";
import type { Answer, Question } from "./spawner.ts";

const answerTo = async ({ id, file, args, options }: Question): Promise<Answer> => {
  try {
    return { id, result: await runHere(file, args, options) };
  } catch (error) {
    const { kind, code, context } = error instanceof AppError ? error : new AppError("internal", "command-failed", "");
    return { id, error: { kind, code, message: messageOf(error), context } };
  }
};

process.on("message", (question: Question) => {
  void answerTo(question).then((answer) => process.connected && process.send?.(answer));
});
// What it runs is in groups of its own and goes on to its end.
process.on("disconnect", () => process.exit());
