/** The hierarchy of control groups (cgroup v2): where this process has it, and whether a group can be made in it. */
import { access, constants, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { run } from "../lib/exec.ts";
import { createMutex } from "../lib/mutex.ts";
import { unlessMissing } from "../lib/unless-missing.ts";

export interface Hierarchy {
  /** Where it is mounted; undefined: nowhere that this process sees, and who makes a group mounts it once more. */
  folder: string | undefined;
  /** Why no group can be made, and what mends it. */
  obstacle: Fault | undefined;
  /** Of `CGROUP_CONTROLLERS`, those that bound a microVM; the others' limits are its processes' own (jail.ts). */
  controllers: string[];
  /** Why it is not by all. */
  gap: Fault | undefined;
}

/** Those that bound a microVM. */
export const CGROUP_CONTROLLERS = ["cpu", "memory", "pids"];

export interface Fault {
  /** A clause that begins a sentence. */
  seen: string;
  remedy: string;
}

/** Of the hierarchy, where no one else has mounted it. */
const OWN_MOUNT = "/run/sallyport/cgroup";

/** Changes nothing. `root`: what stands before /proc and /sys. */
export const lookAtHierarchy = async (root = "/"): Promise<Hierarchy> => {
  const folder = await findMount(root);
  const { isRoot, mayMount } = await rightsOf(root);
  if (folder === undefined) {
    return { folder, obstacle: isRoot && !mayMount ? NOT_MOUNTABLE : undefined, controllers: [], gap: NOT_MOUNTED };
  }
  const refusal = await refusalOf(join(root, folder));
  // What another user may not do says nothing of the controller.
  const isObstacle = refusal !== undefined && (refusal === READ_ONLY || isRoot);
  return {
    folder,
    obstacle: isObstacle ? notWritable(folder, refusal) : undefined,
    ...(await boundsIn(join(root, folder))),
  };
};

/** Of the controllers that bound a microVM, those that groups in `folder` have, and those that it could give them. */
export const controllersIn = async (
  folder: string,
): Promise<{ given: string[]; toGive: string[]; isHeld: boolean }> => {
  const [known, given, processes, type] = await Promise.all(
    ["cgroup.controllers", "cgroup.subtree_control", "cgroup.procs", "cgroup.type"].map((file) =>
      unlessMissing(readFile(join(folder, file), "utf8"), undefined, UNREADABLE),
    ),
  );
  const namesIn = (text = ""): string[] => CGROUP_CONTROLLERS.filter((name) => text.split(/\s/).includes(name));
  const toGive = namesIn(known).filter((name) => !namesIn(given).includes(name));
  // Where processes are the kernel gives no memory on; cpu and pids it would, and then let no process into the groups. The host's own
  // top is free of this, and has no type.
  return { given: namesIn(given), toGive, isHeld: type !== undefined && processes !== "" };
};

const boundsIn = async (folder: string): Promise<Pick<Hierarchy, "controllers" | "gap">> => {
  const { given, toGive, isHeld } = await controllersIn(folder);
  const controllers = CGROUP_CONTROLLERS.filter((name) => given.includes(name) || (!isHeld && toGive.includes(name)));
  const missing = CGROUP_CONTROLLERS.filter((name) => !controllers.includes(name)).join(", ");
  if (missing === "") return { controllers, gap: undefined };
  return { controllers, gap: isHeld && toGive.length > 0 ? heldBack(missing) : notThere(missing) };
};

/** cgroup.procs of a group for threads. */
const UNREADABLE = ["ENOENT", "EOPNOTSUPP"];

/** Throws AppError `cgroup-missing` where no group can be made. Changes nothing. */
export const requireCgroups = async (): Promise<void> => {
  const { obstacle } = await lookAtHierarchy();
  if (obstacle) throw cgroupMissing(obstacle.seen, obstacle.remedy);
};

/**
 * Of the whole hierarchy: looked for each time, because a later controller may not see what a former one had mounted. Throws AppError
 * `cgroup-missing`.
 */
export const mountPoint = async (): Promise<string> => (await findMount()) ?? oneByOne(mountOwn);

/**
 * The mounted one that can be looked into: another mount may cover one, or have no control groups in it. One that can be written to comes
 * first. Undefined: there is none.
 */
export const findMount = async (root = "/"): Promise<string | undefined> => {
  const text = await unlessMissing(readFile(join(root, "/proc/self/mountinfo"), "utf8"), "");
  // Fields of proc_pid_mountinfo(5): 4 root, 5 mount point, in which blanks are octal; after " - " the file system's type.
  const mounts = text
    .split("\n")
    .map((line) => line.split(" "))
    .filter((fields) => fields[3] === "/" && fields[fields.indexOf("-") + 1] === "cgroup2")
    .map((fields) => (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8))));
  const found: string[] = [];
  for (const mount of mounts) {
    const isSeen = await access(join(root, mount, "cgroup.controllers")).then(
      () => true,
      () => false,
    );
    if (isSeen && (await refusalOf(join(root, mount))) === undefined) return mount;
    if (isSeen) found.push(mount);
  }
  return found[0];
};

/** Why nothing can be made in it; undefined: it can. */
const refusalOf = (folder: string): Promise<string | undefined> =>
  access(folder, constants.W_OK).then(
    () => undefined,
    (error: unknown) => errnoOf(error) ?? messageOf(error),
  );

const READ_ONLY = "EROFS";

const notWritable = (folder: string | undefined, refusal: string): Fault => ({
  seen: `cgroup v2 is ${refusal === READ_ONLY ? "mounted read-only" : "not to be written to"} at ${folder} (${refusal})`,
  remedy:
    "run the controller without ProtectControlGroups= in its unit, or in a container with a writable /sys/fs/cgroup",
});

const NOT_MOUNTABLE: Fault = {
  seen: "cgroup v2 is mounted nowhere, and may not be mounted (no CAP_SYS_ADMIN)",
  remedy: "mount -t cgroup2 cgroup2 /sys/fs/cgroup, or give the container a writable /sys/fs/cgroup",
};

const NOT_MOUNTED: Fault = {
  seen: "cgroup v2 is mounted nowhere",
  remedy: "boot with systemd.unified_cgroup_hierarchy=1",
};

const notThere = (missing: string): Fault => ({
  seen: `cgroup v2 cannot bound ${missing}`,
  remedy: NOT_MOUNTED.remedy,
});

const heldBack = (missing: string): Fault => ({
  seen: `cgroup v2 cannot bound ${missing}: there are processes in its topmost group, as in a container`,
  remedy:
    "in a container: run an init that puts its processes into groups of their own (systemd), or take the host's control groups (--cgroupns=host)",
});

/** Bit of CAP_SYS_ADMIN in linux/capability.h. */
const SYS_ADMIN = 21n;

/** Of this process. */
const rightsOf = async (root: string): Promise<{ isRoot: boolean; mayMount: boolean }> => {
  const status = await unlessMissing(readFile(join(root, "/proc/self/status"), "utf8"), "");
  const capabilities = BigInt(`0x${/^CapEff:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return { isRoot: /^Uid:\t\d+\t0\t/m.test(status), mayMount: ((capabilities >> SYS_ADMIN) & 1n) === 1n };
};

const oneByOne = createMutex();

const mountOwn = async (): Promise<string> => {
  const meanwhile = await findMount();
  if (meanwhile !== undefined) return meanwhile;
  try {
    await mkdir(OWN_MOUNT, { recursive: true });
    await run("mount", ["-t", "cgroup2", "-o", "nosuid,nodev,noexec", "cgroup2", OWN_MOUNT]);
    return OWN_MOUNT;
  } catch (cause) {
    throw cgroupMissing(messageOf(cause), undefined, cause);
  }
};

/** `why`: a clause. */
export const cgroupMissing = (why: string, remedy?: string, cause?: unknown): AppError => {
  const sentence = `Control groups (cgroup v2), by which a microVM is bounded and ended, cannot be had here: ${why.replace(/\.$/, "")}.`;
  const hint =
    remedy ?? "Linux 5.14 or newer has them; in a container they must be mounted writable at /sys/fs/cgroup.";
  return new AppError("unavailable", "cgroup-missing", sentence, { hint, cause });
};
