/**
 * A small process that starts programs for a large one. To start a program the kernel copies the page tables of whoever starts it, while
 * that process stands still: 1 ms for a bare Node, 5 ms for a controller, 13 ms for one of 250 MiB, measured.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AppError, type ErrorKind } from "./errors.ts";
import { runHere, startProgramsBy, type RunOptions, type RunResult } from "./exec.ts";
import { packageRoot } from "./paths.ts";

export interface Question {
  id: number;
  file: string;
  args: string[];
  /** Of those that can be told to another process. */
  options: Omit<RunOptions, "signal" | "onLine">;
}

export type Answer =
  | { id: number; result: RunResult; error?: undefined }
  | {
      id: number;
      error: { kind: ErrorKind; code: string; message: string; context?: Record<string, unknown> | undefined };
    };

/**
 * Programs are started by it until it is stopped, or ends: then by this process again. What it was asked for and did not answer is run
 * again here, as every change that `run` is used for may be.
 */
export const startSpawner = (): { stop(): void } => {
  const bundled = join(packageRoot(), "dist/spawner.js");
  const isBundle = !import.meta.url.endsWith(".ts");
  const main = isBundle ? bundled : join(import.meta.dirname, "spawner-main.ts");
  if (!existsSync(main)) return { stop: () => {} };
  // In a group of its own: a Ctrl-C is for whoever has work to finish.
  const child = spawn(process.execPath, [main], { detached: true, stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const open = new Map<number, (answer: Answer | undefined) => void>();
  let last = 0;
  const end = (): void => {
    startProgramsBy(undefined);
    for (const tell of open.values()) tell(undefined);
    open.clear();
  };
  child.on("message", (answer: Answer) => {
    open.get(answer.id)?.(answer);
    open.delete(answer.id);
  });
  child.on("error", end).on("disconnect", end);
  startProgramsBy(async (file, args, options = {}) => {
    const id = ++last;
    const asked = new Promise<Answer | undefined>((resolve) => open.set(id, resolve));
    child.send({ id, file, args, options } satisfies Question, (error) => error && open.get(id)?.(undefined));
    // Who waits for an answer must not find itself with nothing left to do, and who waits for none may end.
    child.channel?.ref();
    const answer = await asked;
    if (open.size === 0) child.channel?.unref();
    if (!answer) return runHere(file, args, options);
    if (!answer.error) return answer.result;
    const { kind, code, message, context } = answer.error;
    throw new AppError(kind, code, message, context ? { context } : {});
  });
  child.unref();
  child.channel?.unref();
  return { stop: () => (child.connected ? child.disconnect() : end()) };
};
