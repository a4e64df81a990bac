/**
 * A small process that starts programs for a large one. To start a program the kernel copies the page tables of whoever starts it, while
 * that process stands still: 1 ms for a bare Node, 5 ms for a controller, 13 ms for one of 250 MiB, measured.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { AppError, type ErrorKind } from "./errors.ts";
import { DEFAULT_TIMEOUT_MS, startProgramsBy, type RunOptions, type RunResult } from "./exec.ts";
import { packageRoot } from "./paths.ts";
import { orAfter } from "./wait.ts";

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

/** Beyond the time that a program has, and for the end of one that is killed then. */
const ANSWER_MS = 5_000;

/**
 * Programs are started by it until it is stopped, ends, or answers no more: then by this process again. What it was asked for before a stop
 * comes to its end. Of what it did not answer nobody knows whether it was done, or is under way: it rejects with AppError `spawner-gone`.
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
  let isStopping = false;
  const end = (): void => {
    startItself();
    for (const tell of open.values()) tell(undefined);
    open.clear();
  };
  const atRest = (): void => {
    if (!isStopping) child.channel?.unref();
    else if (child.connected) child.disconnect();
  };
  child.on("message", (answer: Answer) => {
    open.get(answer.id)?.(answer);
    open.delete(answer.id);
  });
  child.on("error", end).on("disconnect", end);
  const startItself = startProgramsBy(async (file, args, options = {}) => {
    const id = ++last;
    const asked = new Promise<Answer | undefined>((resolve) => open.set(id, resolve));
    child.send({ id, file, args, options } satisfies Question, (error) => error && open.get(id)?.(undefined));
    // Who waits for an answer must not find itself with nothing left to do, and who waits for none may end.
    child.channel?.ref();
    // One that stands still is no help, and nobody would end what waits for it.
    const limitMs = (options.timeoutMs ?? DEFAULT_TIMEOUT_MS) + ANSWER_MS;
    const answer = await orAfter(asked, limitMs, () => {
      child.kill("SIGKILL");
      end();
    });
    open.delete(id);
    if (open.size === 0) atRest();
    if (!answer) throw gone(file);
    if (!answer.error) return answer.result;
    const { kind, code, message, context } = answer.error;
    throw new AppError(kind, code, message, context ? { context } : {});
  });
  child.unref();
  child.channel?.unref();
  return {
    stop: () => {
      isStopping = true;
      startItself();
      if (open.size === 0) atRest();
    },
  };
};

const gone = (file: string): AppError =>
  new AppError(
    "unavailable",
    "spawner-gone",
    `The process that starts programs for the controller ended before ${file} did.`,
    {
      hint: "Try again: from now on the controller starts them itself. Who ended it (out of memory: dmesg) may end the controller next.",
    },
  );
