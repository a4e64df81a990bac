/**
 * Control groups (cgroup v2) of microVMs: what bounds a VMM's processes, and by what they are recognised and killed. Paths are as in
 * /proc/PID/cgroup. Where the hierarchy is mounted nowhere that this process sees, whoever makes or ends a group mounts it once more,
 * which changes nothing for anybody else. Who only looks does not: he throws AppError `cgroup-missing`, for nothing was seen gone.
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { CgroupFacts } from "../contract/diagnosis.ts";
import { allTried } from "../lib/all-tried.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { createMutex } from "../lib/mutex.ts";
import { identify, killAll, type ProcessIdentity } from "../lib/process.ts";
import { MIB } from "../lib/units.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { poll } from "../lib/wait.ts";
import { cgroupMissing, controllersIn, findMount, mountPoint, requireCgroups } from "./hierarchy.ts";

/** Of all processes of one microVM together. */
export interface CgroupLimits {
  memoryMib: number;
  /** Processes and threads. */
  pids: number;
  /** Processors' worth of time. */
  cpus: number;
}

const PERIOD_US = 100_000;

/**
 * The group exists afterwards, with what can be limited here: a controller that the host has no longer (it hangs in a hierarchy of
 * version 1) or never had is left out. Answers the folder. Throws AppError `cgroup-missing`.
 */
export const makeCgroup = async (path: string, limits: CgroupLimits): Promise<string> => {
  await requireCgroups();
  const root = await mountPoint();
  const folder = join(root, path);
  try {
    await oneByOne(async () => {
      await enableControllers(root);
      await makeFolder(dirname(folder));
      await enableControllers(dirname(folder));
      await makeFolder(folder);
    });
  } catch (cause) {
    throw cgroupMissing(messageOf(cause), undefined, cause);
  }
  await limitCgroup(folder, limits);
  return folder;
};

/** `folder`: the group's. */
export const limitCgroup = async (folder: string, limits: CgroupLimits): Promise<void> => {
  for (const [file, value] of Object.entries(filesOf(limits))) {
    // A file that is not there is a controller that is not there; group-wide ends and swap are of newer kernels.
    await unlessMissing(writeFile(join(folder, file), value, { flag: "r+" }), undefined);
  }
};

/** The end of the last microVM takes the parent away, beside the start of another. */
const oneByOne = createMutex();

/** Not by mkdir's own recursion, which calls a file system that is read-only one that is not there. */
const makeFolder = (folder: string): Promise<unknown> => unlessMissing(mkdir(folder), undefined, ["EEXIST"]);

const filesOf = ({ memoryMib, pids, cpus }: CgroupLimits): Record<string, string> => ({
  "memory.max": String(memoryMib * MIB),
  "memory.swap.max": "0",
  // A VMM without one of its processes is none.
  "memory.oom.group": "1",
  "pids.max": String(pids),
  "cpu.max": `${Math.round(cpus * PERIOD_US)} ${PERIOD_US}`,
});

/** The hierarchy can be looked into afterwards. Throws AppError `cgroup-missing`. */
export const ensureCgroups = async (): Promise<void> => void (await mountPoint());

/** Processes in it, root's too; none where there is no such group. */
export const cgroupPids = async (path: string): Promise<number[]> =>
  // A group that is being removed answers ENODEV.
  ((await readIn(path, "cgroup.procs")) ?? "").split("\n").filter(Boolean).map(Number);

/** As `cgroupPids`, those that can be told from a later one with the same number. */
export const processesInCgroup = async (path: string): Promise<ProcessIdentity[]> =>
  (await Promise.all((await cgroupPids(path)).map(identify))).filter((found) => found !== undefined);

/** Of a group whose microVM is known no more: what is in it is killed, and it goes. Throws AppError `process-stays`, `cgroup-refused`. */
export const endCgroup = async (path: string): Promise<void> => {
  await killCgroup(path);
  await allTried(
    () => killAll(`What is in the control group ${path}`, () => processesInCgroup(path)),
    () => removeCgroup(path),
  );
};

/**
 * Kills everything in it at one stroke, also what forks faster than one can look. Where that can't be done (Linux before 5.14, a group
 * that may not be written to) nothing happens, and nothing is thrown: who calls it kills what is left one by one.
 */
export const killCgroup = async (path: string): Promise<void> => {
  try {
    await writeFile(join(await mountPoint(), path, "cgroup.kill"), "1", { flag: "r+" });
  } catch {
    // What it was is said by the removal, and what lives on is found by its number.
  }
};

/**
 * Idempotent; with the last one its parent goes. What is dead already may be counted for another moment. Throws AppError
 * `cgroup-refused`, `cgroup-missing`.
 */
export const removeCgroup = async (path: string): Promise<void> => {
  if (!(await isInUse())) return;
  const root = await mountPoint();
  const remove = async (group: string): Promise<true | undefined> => {
    const removed = unlessMissing(rmdir(join(root, group)), undefined, GONE).then(() => true as const);
    return unlessMissing(removed, undefined, ["EBUSY"]).catch((cause: unknown) => {
      throw cgroupRefused(group, cause);
    });
  };
  const what = `the end of the control group ${path}`;
  await poll(() => remove(path), { what, timeoutMs: 5_000, intervalMs: 20, firstMs: 1 });
  // Others of its microVMs keep it.
  if (dirname(path) !== "/") await oneByOne(() => remove(dirname(path)));
};

export const cgroupExists = async (path: string): Promise<boolean> =>
  (await readIn(path, "cgroup.procs")) !== undefined;

/** Names of the groups in it. */
export const cgroupsIn = async (path: string): Promise<string[]> => {
  const folder = await folderOf(path);
  const entries = folder === undefined ? [] : await unlessMissing(readdir(folder, { withFileTypes: true }), []);
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
};

/** Where a process is, which nobody but root decides; undefined for one that is gone. */
export const cgroupOfProcess = async (pid: number): Promise<string | undefined> => {
  const text = await unlessMissing(readFile(`/proc/${pid}/cgroup`, "utf8"), "", GONE);
  return /^0::(.*)$/m.exec(text)?.[1];
};

/** What the kernel counted of it; undefined: the memory controller or the group is not there. */
export const cgroupFacts = async (path: string): Promise<CgroupFacts | undefined> => {
  const [limit, events, pids] = await Promise.all(
    ["memory.max", "memory.events", "pids.events"].map((file) => readIn(path, file)),
  );
  if (limit === undefined || events === undefined) return undefined;
  // The highest is known since Linux 5.19; before, what it has now.
  const bytes = (await readIn(path, "memory.peak")) ?? (await readIn(path, "memory.current"));
  return {
    memoryLimitMib: Math.round(Number(limit) / MIB),
    memoryPeakMib: Math.round(Number(bytes ?? 0) / MIB),
    oomKills: countIn(events, "oom_kill"),
    limitHits: countIn(events, "oom"),
    pidsMaxHits: countIn(pids ?? "", "max"),
  };
};

const countIn = (text: string, name: string): number =>
  Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);

const GONE = ["ENOENT", "ENODEV", "ESRCH"];
const NOT_GIVEN = ["EBUSY", "EACCES", "EPERM", "EROFS", "EOPNOTSUPP", "ENOENT", "EINVAL"];

const readIn = async (path: string, file: string): Promise<string | undefined> => {
  const folder = await folderOf(path);
  return folder === undefined ? undefined : unlessMissing(readFile(join(folder, file), "utf8"), undefined, GONE);
};

/** Of a group to look at; undefined where none of any name is there. */
const folderOf = async (path: string): Promise<string | undefined> => {
  const root = await findMount();
  if (root !== undefined) return join(root, path);
  if (await isInUse()) throw cgroupMissing("they are mounted nowhere");
  return undefined;
};

/** The kernel shows the hierarchy from its first mount on, by whomever: before, no group was made. */
const isInUse = async (): Promise<boolean> => (await cgroupOfProcess(process.pid)) !== undefined;

const cgroupRefused = (path: string, cause: unknown): AppError =>
  new AppError("unavailable", "cgroup-refused", `The control group ${path} cannot be changed: ${messageOf(cause)}.`, {
    hint: "Where cgroup v2 is mounted read-only: run the controller without ProtectControlGroups=, in a container with a writable /sys/fs/cgroup.",
    cause,
  });

/** For the groups in it; what may not be given on is left out. */
const enableControllers = async (folder: string): Promise<void> => {
  const { toGive, isHeld } = await controllersIn(folder);
  for (const name of isHeld ? [] : toGive) {
    await unlessMissing(writeFile(join(folder, "cgroup.subtree_control"), `+${name}`), undefined, NOT_GIVEN);
  }
};
