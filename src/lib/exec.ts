import { spawn } from "node:child_process";
import { AppError } from "./errors.ts";

export interface RunOptions {
  /** Written to standard input, which is then closed. */
  input?: string;
  /** Milliseconds until the process group is killed; default 30 000. */
  timeoutMs?: number;
  signal?: AbortSignal;
  env?: Record<string, string | undefined>;
  cwd?: string;
  /** Exit codes that are no error besides 0. */
  okCodes?: number[];
  /** Called with each whole line of either stream as it comes. */
  onLine?: (line: string) => void;
}

export interface RunResult {
  stdout: string;
  stderr: string;
  exitCode: number;
}

const OUTPUT_LIMIT = 8 * 1024 * 1024;

/**
 * Runs a program with an argument list, never through a shell, in its own process group, and waits for it.
 * Throws AppError `command-missing` (not installed), `command-timeout`, `command-failed` (with the end of its output).
 */
export const run = async (file: string, args: string[], options: RunOptions = {}): Promise<RunResult> => {
  options.signal?.throwIfAborted();
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout = collect(child.stdout, options.onLine);
  const stderr = collect(child.stderr, options.onLine);
  // A program may end without reading its input; its exit code tells whether that mattered.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");

  const timeoutMs = options.timeoutMs ?? 30_000;
  let isTimedOut = false;
  const killGroup = (): void => {
    if (child.pid !== undefined) {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // The group is gone already: that is what was wanted.
      }
    }
  };
  const timer = setTimeout(() => {
    isTimedOut = true;
    killGroup();
  }, timeoutMs);
  options.signal?.addEventListener("abort", killGroup, { once: true });

  try {
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve(code ?? -1));
    });
    options.signal?.throwIfAborted();
    const command = [file, ...args].join(" ");
    if (isTimedOut) {
      throw new AppError("timeout", "command-timeout", `${file} did not finish within ${timeoutMs / 1000} s.`, {
        context: { command, stderr: stderr() },
      });
    }
    if (exitCode !== 0 && !(options.okCodes ?? []).includes(exitCode)) {
      const tail = (stderr().trim() || stdout().trim()).slice(-2000);
      throw new AppError("internal", "command-failed", `${file} ended with code ${exitCode}: ${tail || "no output"}`, {
        context: { command, exitCode },
      });
    }
    return { stdout: stdout(), stderr: stderr(), exitCode };
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      throw new AppError("unavailable", "command-missing", `The program ${file} is not installed.`, { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", killGroup);
  }
};

/** Gathers a stream as text up to a limit and hands out whole lines as they pass. */
const collect = (stream: NodeJS.ReadableStream, onLine?: (line: string) => void): (() => string) => {
  let text = "";
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    if (text.length < OUTPUT_LIMIT) text += chunk;
    if (!onLine) return;
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? "";
    lines.forEach((line) => onLine(line));
  });
  stream.on("end", () => {
    if (onLine && rest) onLine(rest);
  });
  return () => text;
};
