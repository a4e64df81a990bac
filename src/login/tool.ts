/** The unmodified tool as a process: its output passed on as it comes, its end awaited, its whole tree stopped. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { AppError } from "../lib/errors.ts";
import { orAfter } from "../lib/wait.ts";

export interface ToolOptions {
  command: string[];
  env: Record<string, string | undefined>;
  /** Whether it shares this terminal for questions; otherwise it reads nothing. */
  isInteractive: boolean;
  onOutput: (stream: "stdout" | "stderr", text: string) => void;
}

export type Tool = Awaited<ReturnType<typeof startTool>>;

const KILL_AFTER_MS = 3000;

/** Starts it, or throws AppError `tool-missing`. */
export const startTool = async ({ command, env, isInteractive, onOutput }: ToolOptions) => {
  const [file = "", ...args] = command;
  const child = spawn(file, args, {
    env,
    stdio: [isInteractive ? "inherit" : "ignore", "pipe", "pipe"],
    // A group of its own can be stopped whole, but only the terminal's own group may read from the terminal.
    detached: !isInteractive,
  });
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => onOutput(stream, text));
  }
  const exited = new Promise<number>((resolve) => {
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
  });
  await new Promise<void>((resolve, reject) => {
    child.on("spawn", resolve);
    child.on("error", (cause) => reject(toolMissing(file, cause)));
  });

  const send = (signal: NodeJS.Signals): void => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    if (isInteractive) child.kill(signal);
    else process.kill(-child.pid, signal);
  };
  return {
    /** Exit code, 128 + number where a signal ended it. Never rejects. */
    exited,
    /** SIGTERM, and SIGKILL after three seconds. Idempotent. */
    stop: async () => {
      send("SIGTERM");
      const isOver = exited.then(() => true);
      if (await orAfter(isOver, KILL_AFTER_MS, () => false)) return;
      send("SIGKILL");
      // A grandchild that keeps the pipe open must not keep this program waiting.
      child.stdout.destroy();
      child.stderr.destroy();
      await exited;
    },
  };
};

export const toolMissing = (name: string, cause?: unknown): AppError =>
  new AppError("unavailable", "tool-missing", `The program ${name} cannot be run on this machine.`, {
    hint: `Install ${name}, or put it on the PATH, and start the sign-in again. Nothing was started.`,
    cause,
  });
