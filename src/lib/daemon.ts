/** Programs that outlive this process: started detached, told by number and start time afterwards, ended by `killProcess`. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { open, readdir, readFile } from "node:fs/promises";
import { identifyChild } from "./process.ts";
import { SYSTEM_PATH } from "./programs.ts";
import { unlessMissing } from "./unless-missing.ts";

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
 * and nothing breaks for it when we end. It has nothing of ours in its environment, and no file that somebody left open. Who wants to find it again writes `identity` down;
 * `ended` says how it ended, which its parent alone learns. Throws the system's error when the program cannot be started.
 */
export const startDaemon = async ({ argv, logFile, outFile, files = [] }: DaemonCommand) => {
  const [program = "", ...args] = argv;
  const log = await open(logFile, "a", 0o600);
  const out = outFile === undefined ? log : await open(outFile, "a");
  const nothing = await open("/dev/null", "r");
  try {
    const stdio: (number | "ignore")[] = ["ignore", out.fd, log.fd, ...files];
    for (const number of await leftOpen()) {
      while (stdio.length < number) stdio.push("ignore");
      stdio[number] ??= nothing.fd;
    }
    const child = spawn(program, args, {
      detached: true,
      cwd: "/",
      env: { PATH: SYSTEM_PATH },
      stdio,
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
    await nothing.close();
    await log.close();
    if (out !== log) await out.close();
  }
};

/**
 * Files that whoever started this process left open for it, which every program that it starts would have, too; in ascending order.
 * Those that Node opens close by themselves (O_CLOEXEC).
 */
const leftOpen = async (): Promise<number[]> => {
  const numbers = (await readdir("/proc/self/fd")).map(Number).filter((number) => number > 2);
  const stays = async (number: number): Promise<boolean> => {
    const about = await unlessMissing(readFile(`/proc/self/fdinfo/${number}`, "utf8"), "");
    const flags = /^flags:\s*([0-7]+)$/m.exec(about)?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0;
  };
  const stayed = await Promise.all(numbers.map(async (number) => ((await stays(number)) ? [number] : [])));
  return stayed.flat().toSorted((a, b) => a - b);
};

/** On x86-64; Node does not name it. */
const O_CLOEXEC = 0o2000000;
