import { spawn } from "node:child_process";
import { once } from "node:events";
import { AppError, errnoOf } from "./errors.ts";

export interface RunOptions {
  /** Written to standard input, which is then closed. */
  input?: string;
  /** Milliseconds until the process group is killed; default DEFAULT_TIMEOUT_MS. */
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

export const DEFAULT_TIMEOUT_MS = 30_000;
const OUTPUT_LIMIT = 8 * 1024 * 1024;
/** For the end of a group that was killed: one that hangs in the kernel, or whose descendant in another group holds a pipe, has none. */
const GRACE_MS = 1_000;

export type Run = (file: string, args: string[], options?: RunOptions) => Promise<RunResult>;

/** See `run`; undefined: this process starts its programs itself. */
let helper: Run | undefined;

/** From now on programs are started by `run` (spawner.ts) where that can do it; what is answered ends that, unless another one came since. */
export const startProgramsBy = (run: Run): (() => void) => {
  helper = run;
  return () => {
    if (helper === run) helper = undefined;
  };
};

/** Starts programs in the controller's place, which is large: a process takes the longer to start one, the more memory it has. */
export const run: Run = (file, args, options = {}) =>
  helper && !options.onLine && !options.signal ? helper(file, args, options) : runHere(file, args, options);

/**
 * Runs a program with an argument list, never through a shell, in its own process group, and waits for it: until the time is
 * up or `signal` says so, and a second at most for the end of what is killed then.
 * Throws AppError `command-missing` (not installed), `command-timeout`, `command-failed` (with the end of its output).
 */
export const runHere: Run = async (file, args, options = {}) => {
  const { input = "", timeoutMs = DEFAULT_TIMEOUT_MS, signal, env, cwd, okCodes = [], onLine } = options;
  signal?.throwIfAborted();
  const child = spawn(file, args, { cwd, env, detached: true });
  const stdout = collect(child.stdout, onLine);
  const stderr = collect(child.stderr, onLine);
  // A program may end without reading its input; its exit code tells whether that mattered.
  child.stdin.on("error", () => {});
  child.stdin.end(input);

  let isTimedOut = false;
  let giveUp = (): void => {};
  const givenUp = new Promise<[]>((resolve) => (giveUp = () => resolve([])));
  let grace: NodeJS.Timeout | undefined;
  const killGroup = (): void => {
    grace ??= setTimeout(giveUp, GRACE_MS);
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // The group is gone already: that is what was wanted.
    }
  };
  const timer = setTimeout(() => {
    isTimedOut = true;
    killGroup();
  }, timeoutMs);
  signal?.addEventListener("abort", killGroup, { once: true });

  try {
    const [code] = await Promise.race([once(child, "close"), givenUp]);
    const exitCode = Number(code ?? -1);
    signal?.throwIfAborted();
    const command = [file, ...args].join(" ");
    if (isTimedOut) {
      throw new AppError("timeout", "command-timeout", `${file} did not finish within ${timeoutMs / 1000} s.`, {
        context: { command, stderr: stderr() },
      });
    }
    if (exitCode !== 0 && !okCodes.includes(exitCode)) {
      const tail = (stderr().trim() || stdout().trim()).slice(-2000);
      throw new AppError("internal", "command-failed", `${file} ended with code ${exitCode}: ${tail || "no output"}`, {
        context: { command, exitCode },
      });
    }
    return { stdout: stdout(), stderr: stderr(), exitCode };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") {
      throw new AppError("unavailable", "command-missing", `The program ${file} is not installed.`, { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(timer);
    clearTimeout(grace);
    // Only of one that was given up there is something left.
    for (const pipe of child.stdio) pipe?.destroy();
    child.unref();
    signal?.removeEventListener("abort", killGroup);
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
