/** What a process takes. */
import { readFile } from "node:fs/promises";

const TICKS_PER_SECOND = 100;

/** Seconds of processor time that a process took so far: its own, and the kernel's for it. */
export const cpuPartsOf = async (pid: number): Promise<{ own: number; kernel: number }> => {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { own: Number(fields[11]) / TICKS_PER_SECOND, kernel: Number(fields[12]) / TICKS_PER_SECOND };
};

/** Both together. */
export const cpuSeconds = async (pid: number): Promise<number> => {
  const { own, kernel } = await cpuPartsOf(pid);
  return own + kernel;
};

/** Resident. */
export const memoryMib = async (pid: number): Promise<number> =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;

/** The child whose command line has this word. */
export const childOf = async (parent: number, word: string): Promise<number> => {
  const pids = (await readFile(`/proc/${parent}/task/${parent}/children`, "utf8")).trim().split(" ").map(Number);
  for (const pid of pids) if ((await readFile(`/proc/${pid}/cmdline`, "utf8")).includes(word)) return pid;
  throw new Error(`process ${parent} has no child ${word}`);
};
