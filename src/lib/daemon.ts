/** Programs that outlive this process: started detached, told by number and start time afterwards, ended by `killProcess`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { identifyChild } from "./process.ts";
import { SYSTEM_PATH } from "./programs.ts";

export interface DaemonCommand {
  /** Program and arguments. */
  argv: string[];
  /** Both output streams are appended to it. */
  logFile: string;
  /** What it says on standard output is appended to this instead; the file is there. */
  outFile?: string;
  /** Open files the process gets as numbers 3, 4, … */
  files?: number[];
}

/**
 * Starts a process in a session and process group of its own, with no pipe to this one: signals to our group don't reach it,
 * and nothing breaks for it when we end. Its environment holds nothing of ours. Who wants to find it again writes `identity` down;
 * `ended` says how it ended, which its parent alone learns. Throws the system's error when the program cannot be started.
 */
export const startDaemon = async ({ argv, logFile, outFile, files = [] }: DaemonCommand) => {
  const [program = "", ...args] = argv;
  const log = await open(logFile, "a", 0o600);
  const out = outFile === undefined ? log : await open(outFile, "a");
  try {
    const child = spawn(program, args, {
      detached: true,
      cwd: "/",
      env: { PATH: SYSTEM_PATH },
      stdio: ["ignore", out.fd, log.fd, ...files],
    });
    const identity = child.pid === undefined ? undefined : identifyChild(child.pid);
    child.unref();
    const ended = once(child, "exit").then(([code, signal]) => ({
      code: code as number,
      signal: signal as string | null,
    }));
    // Of a program that could not be started nobody waits for the end.
    ended.catch(() => {});
    await once(child, "spawn");
    if (!identity) throw new Error(`${program} was started without a process number`);
    return { identity, ended };
  } finally {
    await log.close();
    if (out !== log) await out.close();
  }
};
