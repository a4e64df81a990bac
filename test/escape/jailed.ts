/** Runs the tries in a VMM's jail, and measures from outside what they cost the host. */
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/lib/exec.ts";
import { processesOf } from "../../src/lib/process.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { cgroupFacts, cgroupPids, killCgroup, makeCgroup, removeCgroup } from "../../src/vmm/cgroup.ts";
import { lookAtHierarchy } from "../../src/vmm/hierarchy.ts";
import { inJail, MAX_FILE_BYTES, MAX_PROCESSES, openFilter } from "../../src/vmm/jail.ts";
import type { MicrovmSpec } from "../../src/vmm/vmm.ts";
import { specIn } from "../fixtures/spec.ts";
import { partsIn, runTries, type Part } from "./tries.ts";
import { plantSetuid, type World } from "./world.ts";

/** Of the guest and its VMM; the tries ask for more. */
const MEMORY_MIB = 512;
const MIB = 1024 * 1024;
/** Of its console and its log together; and what there is beside, the programs of the tries. */
const MOST_DISK_MIB = (2 * MAX_FILE_BYTES) / MIB + 16;

/** The backend's own part of the jail. */
export interface Room {
  /** Command line that becomes the program of the tries, with these arguments. */
  command: (args: string[]) => string[];
  /** Of system calls; `command` finds it as FIRST_FILE. */
  filter: Buffer;
  /** What the backend does when the VMM answers, before the guest runs: closes the folder. */
  seal: () => Promise<void>;
  /** The folder that is the VMM's own until then; and as seen in there: that, the image, a file that it opens to write. */
  own: string;
  folder: string;
  image: string;
  log?: string;
}

/**
 * All parts, those that are measured from outside among them. `furnish`: what the backend makes of its microVM's folder, for what it is
 * asked to start; the namespace is there, with the TAP, which then goes to the bridge. The jail is gone afterwards.
 */
export const tryInJail = async (
  world: World,
  uid: number,
  furnish: (spec: MicrovmSpec) => Promise<Room>,
): Promise<Part[]> => {
  const image = { vmlinux: world.image, initrd: world.image, rootfs: world.image };
  const spec = await specIn(join(world.root, "data"), { image, uid, memoryMib: MEMORY_MIB });
  spec.netns = `/run/netns/${spec.tap}`;
  await run("ip", ["netns", "add", spec.tap]);
  await run("ip", ["-n", spec.tap, "tuntap", "add", "dev", spec.tap, "mode", "tap", "user", String(uid)]);
  const { paths } = spec;
  const isMemoryBounded = (await lookAtHierarchy()).controllers.includes("memory");
  const limits = { memoryMib: MEMORY_MIB, pids: MAX_PROCESSES, cpus: 2 };
  const seen = { processes: 0, diskMib: 0, facts: await cgroupFacts(paths.cgroup) };
  try {
    const room = await furnish(spec);
    await plantSetuid(world, room.own);
    const cgroup = await makeCgroup(paths.cgroup, limits);
    const args = [
      ...world.found,
      `folder=${room.folder}`,
      `setuid=${room.folder}/setuid`,
      `image=${room.image}`,
      `mine=${spec.tap}`,
      ...(room.log === undefined ? [] : [`log=${room.log}`]),
      "walk=/",
      "sealed=yes",
      ...(isMemoryBounded ? ["touch=yes"] : []),
    ];
    let walls: Part[] | undefined;
    const look = async (): Promise<void> => {
      const pid = walls ? undefined : await pidIn(spec);
      if (pid !== undefined) {
        walls = await wallsOf(pid, room.folder);
        await room.seal();
      }
      seen.processes = Math.max(seen.processes, (await cgroupPids(paths.cgroup)).length);
      seen.diskMib = Math.max(seen.diskMib, await diskMib(paths.root));
      seen.facts = await cgroupFacts(paths.cgroup);
    };
    const streams = { output: paths.console, errors: paths.vmmLog };
    await using filter = await openFilter(paths, room.filter);
    const { end, said } = await runTries(inJail(cgroup, spec, room.command(args)), streams, look, [filter.fd]);
    await look();
    const { oomKills = 0, memoryPeakMib = Infinity } = seen.facts ?? {};
    const wasEnded = oomKills > 0;
    const parts = partsIn(said).map((part) =>
      part.part === "MiB of many processes" ? { ...part, held: wasEnded, how: `${oomKills} of them ended` } : part,
    );
    if (!wasEnded && end !== 0) throw new Error(`The tries ended with ${end}: ${said.slice(-2_000)}`);
    return [
      ...parts,
      ...(walls ?? []),
      outside("make 2,000 processes", "seen from outside", seen.processes, MAX_PROCESSES + OF_THE_JAIL),
      outside("write 1 GiB into a file", "MiB of disk, from outside", seen.diskMib, MOST_DISK_MIB),
      ...(isMemoryBounded ? [outside("use 20 GiB of memory", "MiB, from outside", memoryPeakMib, MEMORY_MIB)] : []),
    ];
  } finally {
    await killCgroup(paths.cgroup);
    await removeCgroup(paths.cgroup);
    await run("ip", ["netns", "delete", spec.tap]);
  }
};

/** Of the program itself, once it has become the user. */
const pidIn = async ({ uid, paths }: MicrovmSpec): Promise<number | undefined> => {
  const grouped = await cgroupPids(paths.cgroup);
  return (await processesOf((user) => user === uid)).find(({ process }) => grouped.includes(process.pid))?.process.pid;
};

/** What one wall would hide of another. `own`: the one place in its view, beside devices, that is no file system to be read only. */
const wallsOf = async (pid: number, own: string): Promise<Part[]> => {
  const of = (process: number | "self", name: string) => readlink(`/proc/${process}/ns/${name}`);
  const shared: string[] = [];
  for (const name of ["cgroup", "ipc", "mnt", "net", "pid", "uts"])
    if ((await of(pid, name)) === (await of("self", name))) shared.push(name);
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const missing = [/^Cap(Inh|Prm|Eff|Amb):.*[1-9a-f]/m, /^NoNewPrivs:\s*0/m, /^Seccomp:\s*0/m, /^Groups:\s*\d/m]
    .flatMap((wrong) => wrong.exec(status)?.[0].replace(/\s+/g, " ") ?? [])
    .join(", ");
  // Of proc_pid_mountinfo(5): 5 mount point, 6 options.
  const mounts = (await readFile(`/proc/${pid}/mountinfo`, "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" "));
  const writable = mounts
    .filter(([, , , , , options = ""]) => options.startsWith("rw"))
    .map(([, , , , point = ""]) => point)
    .filter((point) => point !== own && !point.startsWith("/dev/"));
  const wall = (name: string, part: string, wrong: string): Part => ({
    try: name,
    part: `${part}, from outside`,
    held: wrong === "",
    how: wrong || "none",
  });
  return [
    wall("make or enter namespaces", "those of the host", shared.join(" ")),
    wall("become root", "what would help", missing),
    wall("write to the host's programs and settings", "file systems", writable.join(" ")),
  ];
};

/** Programs that hold it. */
const OF_THE_JAIL = 4;

const outside = (name: string, part: string, had: number, most: number): Part => ({
  try: name,
  part,
  held: had <= most,
  how: `${had}, where ${most} are the most`,
});

/** A file counts once, however many names it has. */
const diskMib = async (folder: string): Promise<number> => {
  const names = await unlessMissing(readdir(folder, { recursive: true }), []);
  const found = await Promise.all(names.map((name) => unlessMissing(lstat(join(folder, name)), undefined)));
  const blocks = new Map(found.map((file) => [file?.ino, file?.blocks ?? 0]));
  return Math.round(([...blocks.values()].reduce((sum, count) => sum + count, 0) * 512) / MIB);
};
