/** Which processes Firefox consists of. Its unit's control group names all of them in one small file: no scan of /proc is needed. */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { unlessMissing } from "../lib/unless-missing.ts";

export interface BrowserProcess {
  pid: number;
  /** `parent`; `tab` for each that runs pages or extensions; `socket`, `rdd`, `utility` and the like as Firefox calls them. */
  kind: string;
}

const PROGRAM = "firefox-esr";
const CGROUP_PROCS = "sys/fs/cgroup/system.slice/sallyport-browser.service/cgroup.procs";

/**
 * Firefox's own process, the oldest of that name: its children get names of their own. Asked every second while a guest starts, so by the
 * name alone: a command line is read from the process's memory, and waits for a Firefox that is busy with it.
 */
export const browserPid = async (root: string): Promise<number | undefined> => {
  for (const pid of await pidsOf(root)) {
    if ((await readIfThere(join(root, "proc", String(pid), "comm"))).trim() === PROGRAM) return pid;
  }
  return undefined;
};

/** Empty while it is not running. */
export const browserProcesses = async (root: string): Promise<BrowserProcess[]> => {
  const found = await Promise.all((await pidsOf(root)).map((pid) => processAt(root, pid)));
  return found.flatMap((one) => one ?? []);
};

const pidsOf = async (root: string): Promise<number[]> => {
  const pids = (await readIfThere(join(root, CGROUP_PROCS))).split("\n").filter(Boolean).map(Number);
  return pids.toSorted((a, b) => a - b);
};

/** What has ended meanwhile, and programs that Firefox asks something (a crash helper, a probe of the screen), are left out. */
const processAt = async (root: string, pid: number): Promise<BrowserProcess | undefined> => {
  const words = (await readIfThere(join(root, "proc", String(pid), "cmdline"))).split("\0").filter(Boolean);
  if (basename(words[0] ?? "") !== PROGRAM) return undefined;
  const kind = words[1] === "-contentproc" ? (words.at(-1) ?? "") : "parent";
  return { pid, kind };
};

/**
 * Whether NSS, whose random generator is Firefox's, is set up in it: always so in what runs script, and else where its library is
 * loaded, which happens then. Measured: `rdd` and `utility` never have it; `socket` had it, and is switched off in the image.
 */
export const hasGenerator = async (root: string, { pid, kind }: BrowserProcess): Promise<boolean> =>
  ["parent", "tab"].includes(kind) ||
  (await readIfThere(join(root, "proc", String(pid), "maps"))).includes("/libsoftokn3.so");

/** Empty for no such unit yet, or a process that ended while it was looked at. */
const readIfThere = (path: string): Promise<string> =>
  unlessMissing(readFile(path, "utf8"), "", ["ENOENT", "ESRCH", "ENODEV"]);
