import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { readEnv } from "../src/config/env.ts";
import { AppError, errnoOf } from "../src/lib/errors.ts";
import { orAfter } from "../src/lib/wait.ts";

export interface SpawnOptions {
  /** Gets both output streams; made if missing, appended to. */
  logFile: string;
  /** Added to our own environment. Nothing secret: it stands in the argument list. */
  env?: Record<string, string>;
  /** Called with each line of standard output. */
  onLine?: (line: string) => void;
}

/** A long-lived program in one of the world's namespaces, with all that it starts in its process group. */
export interface WorldProcess {
  readonly pid: number;
  /** Resolves with the exit code once it has ended; -1 for an end by signal. */
  readonly ended: Promise<number>;
  /** SIGTERM to the group, SIGKILL after `graceMs` (default 15 000). Resolves when the program has ended; idempotent. */
  stop(graceMs?: number): Promise<void>;
}

const LAST_LINES_MS = 1000;

/** Starts a program in a network namespace. Throws AppError `command-missing` when it cannot be started. */
export const spawnIn = async (
  namespace: string,
  file: string,
  args: string[],
  options: SpawnOptions,
): Promise<WorldProcess> => {
  // `ip netns exec` replaces itself, so the process id is the program's own.
  const command = ["netns", "exec", namespace, file, ...args];
  const env = { ...readEnv().all, ...options.env };
  const log = openSync(options.logFile, "a", 0o600);
  const child = spawn("ip", command, { env, detached: true, stdio: ["ignore", "pipe", log] });
  const { pid, stdout } = child;
  if (pid === undefined || stdout === null) {
    closeSync(log);
    const [cause] = (await once(child, "error")) as [Error];
    throw new AppError("unavailable", "command-missing", `ip (package iproute2) cannot be started: ${cause.message}`);
  }
  const lines = createInterface({ input: stdout });
  lines.on("line", (line) => {
    writeSync(log, `${line}\n`);
    options.onLine?.(line);
  });
  const ended = endOf(child, stdout).finally(() => {
    lines.close();
    stdout.destroy();
    closeSync(log);
  });
  let hasEnded = false;
  void ended.then(() => (hasEnded = true));
  const stop = async (graceMs = 15_000): Promise<void> => {
    // Its number may be another program's by now.
    if (!hasEnded) await stopGroup(pid, ended, graceMs);
  };
  return { pid, ended, stop };
};

/** A descendant that lives on may hold the stream open: the last lines are waited for, but not for ever. */
const endOf = async (child: ChildProcess, stdout: Readable): Promise<number> => {
  const closed = once(stdout, "close");
  const [code] = (await once(child, "exit")) as [number | null];
  await orAfter(closed, LAST_LINES_MS, () => undefined);
  return code ?? -1;
};

const stopGroup = async (pid: number, ended: Promise<number>, graceMs: number): Promise<void> => {
  signalGroup(pid, "SIGTERM");
  const timer = setTimeout(() => signalGroup(pid, "SIGKILL"), graceMs);
  await ended;
  clearTimeout(timer);
};

const signalGroup = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
};
