import { readdir, readFile } from "node:fs/promises";
import { errnoOf } from "./errors.ts";

/** A process that can be told from a later one with the same number. */
export interface ProcessIdentity {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks between the host's boot and the start of the process. */
  startTicks: string;
}

/** Identity of a running process, or undefined when there is none (a zombie counts as none). */
export const identify = async (pid: number): Promise<ProcessIdentity | undefined> => (await look(pid))?.identity;

export const isAlive = async (process: ProcessIdentity): Promise<boolean> =>
  (await identify(process.pid))?.startTicks === process.startTicks;

/** Stopped by a signal or a debugger: it is there, and does nothing. */
export const isStopped = async (process: ProcessIdentity): Promise<boolean> => {
  const found = await look(process.pid);
  return found?.identity.startTicks === process.startTicks && ["T", "t"].includes(found.state);
};

/** `state`: field 3 of /proc/PID/stat. */
const look = async (pid: number): Promise<{ identity: ProcessIdentity; state: string } | undefined> => {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return undefined;
    throw error;
  }
  // The command name in parentheses may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = ""] = fields;
  if (state === "Z" || state === "X") return undefined;
  return { identity: { pid, startTicks: fields[19] ?? "" }, state };
};

/** Processes of this host, in whatever namespace, whose argument list fits. Root sees all of them. */
export const findProcesses = async (
  fits: (args: string[]) => boolean,
): Promise<{ process: ProcessIdentity; args: string[] }[]> => {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const args = await commandLine(pid);
      const process = fits(args) ? await identify(pid) : undefined;
      return process ? [{ process, args }] : [];
    }),
  );
  return found.flat();
};

const commandLine = async (pid: number): Promise<string[]> => {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").slice(0, -1);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return [];
    throw error;
  }
};
