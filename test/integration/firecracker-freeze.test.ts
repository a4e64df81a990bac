/** How Firecracker's backend freezes a machine and clones it, with programs that play the jailer and the VMM. */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { inChroot, inSnapshot } from "../../src/vmm/firecracker/chroot.ts";
import { FROZEN_FILES } from "../../src/vmm/frozen.ts";
import { run } from "../../src/lib/exec.ts";
import { MAX_FILE_BYTES } from "../../src/vmm/jail.ts";
import type { ProcessIdentity } from "../../src/lib/process.ts";
import { createSuite, hooks } from "../conformance/vmm-suite.ts";
import { createFakeFirecracker } from "../fixtures/fake-firecracker.ts";

const fake = createFakeFirecracker(1_400_000_000 + (process.pid % 1_000_000) * 200);
const { newSpec, backend, handle, vms, root } = createSuite(fake.prepare);
afterAll(fake.remove);

/** More than a VMM may write otherwise. */
const MEMORY_MIB = 80;
const MEMORY_BYTES = MEMORY_MIB * 1024 * 1024;

const template = async (folder: string) => {
  const spec = await newSpec({ memoryMib: MEMORY_MIB });
  const snapshots = backend().snapshots;
  if (!snapshots) throw new Error("it has no snapshots");
  return { spec, machine: await snapshots.startTemplate(spec, folder, hooks()) };
};

const newFolder = (at = root()): Promise<string> => mkdtemp(join(at, "snapshot-"));
const freeze = async (folder: string) => {
  const made = await template(folder);
  await made.machine.freeze(new AbortController().signal);
  return made;
};

const clone = async (snapshot: string, more = {}) => {
  const spec = await newSpec({ memoryMib: MEMORY_MIB });
  return { spec, machine: await backend().start(spec, { kind: "restore", snapshot }, { ...hooks(), ...more }) };
};

const filesIn = (folder: string): string[] => readdirSync(folder, { recursive: true }).map(String).toSorted();
const chrootOf = (spec: Parameters<typeof inChroot>[0]): string => dirname(inChroot(spec, "rootfs"));
const largestFile = ({ pid }: ProcessIdentity): number =>
  Number(/^Max file size +(\d+) +\1 /m.exec(readFileSync(`/proc/${pid}/limits`, "utf8"))?.[1]);

let frozen: string;
beforeAll(async () => {
  frozen = await newFolder();
  await (await freeze(frozen)).machine.kill();
});

test("what is frozen is root's, for nobody to write, whole, and takes no space for what is empty", async () => {
  expect(filesIn(frozen)).toEqual(["memory", "state"]);
  for (const name of FROZEN_FILES) {
    expect(statSync(inSnapshot(frozen, name)), name).toMatchObject({ uid: 0, gid: 0, mode: 0o100444, nlink: 1 });
  }
  const { size, blocks } = statSync(inSnapshot(frozen, "memory"));
  expect({ size, isSparse: blocks * 512 <= 64 * 1024 }).toEqual({ size: MEMORY_BYTES, isSparse: true });
  expect(readFileSync(inSnapshot(frozen, "memory")).indexOf("frozen")).toBe(4096);
});

test("one that is frozen stands still, and its VMM's user had no folder to write to, and has no file any more", async () => {
  const folder = await newFolder();
  const { spec, machine } = await template(folder);
  const chroot = chrootOf(spec.paths);
  const before = { files: filesIn(chroot), mode: statSync(chroot).mode, uid: statSync(chroot).uid };
  expect(before).toMatchObject({ mode: 0o40711, uid: 0 });
  await machine.freeze(new AbortController().signal);
  expect(await machine.status(5_000)).toBe("paused");
  expect({ files: filesIn(chroot), mode: statSync(chroot).mode, uid: statSync(chroot).uid }).toEqual(before);
});

test("a VMM may write a file as large as its machine's memory where that may be frozen, and nowhere else", async () => {
  const { machine } = await template(await newFolder());
  expect(largestFile(machine.process)).toBe(MEMORY_BYTES + MAX_FILE_BYTES);
  expect(largestFile((await clone(frozen)).machine.process)).toBe(MAX_FILE_BYTES);
});

test("a clone has its own TAP and sockets, and stands still until its guest may run", async () => {
  const first = await clone(frozen);
  const spec = await newSpec({ memoryMib: MEMORY_MIB });
  const vm = handle({ ...spec, process: null });
  const seen: unknown[] = [];
  const beforeRun = async () => void seen.push(await vm.status(5_000), statSync(chrootOf(spec.paths)).uid);
  await backend().start(spec, { kind: "restore", snapshot: frozen }, { ...hooks(), beforeRun });
  expect(seen).toEqual(["paused", 0]);
  for (const { spec: of, machine } of [first, { spec, machine: vm }]) {
    expect(await machine.status(5_000)).toBe("running");
    expect(readFileSync(of.paths.vmmLog, "utf8")).toContain(`fake: restored with ${of.tap}\n`);
    expect(lstatSync(inChroot(of.paths, "vsockSocket")).isSocket()).toBe(true);
  }
});

test("a clone costs no disk: it has no file of its own but its record, and no name of the memory", async () => {
  const { spec } = await clone(frozen);
  const names = ["dev", "dev/kvm", "rootfs.ext4", "run", "run/firecracker.socket", "run/vsock.sock", "vmm.log"];
  expect(filesIn(chrootOf(spec.paths))).toEqual(names);
  const own = filesIn(spec.paths.root)
    .map((name) => lstatSync(join(spec.paths.root, name)))
    .filter((found) => found.isFile());
  expect(own.reduce((bytes, { nlink, blocks }) => bytes + (nlink === 1 ? blocks * 512 : 0), 0)).toBeLessThan(64 * 1024);
});

test.each([
  [
    "without its memory",
    "snapshot-missing",
    "/memory is not there",
    (folder: string) => rmSync(inSnapshot(folder, "memory")),
  ],
  [
    "without its state",
    "snapshot-missing",
    "/state is not there",
    (folder: string) => rmSync(inSnapshot(folder, "state")),
  ],
  [
    "whose memory is cut short",
    "vmm-refused",
    "not restored: Firecracker refused PUT /snapshot/load: The memory ends too early",
    (folder: string) => truncateSync(inSnapshot(folder, "memory"), MEMORY_BYTES - 4096),
  ],
  [
    "of another version",
    "vmm-refused",
    "not restored: Firecracker refused PUT /snapshot/load: Invalid snapshot version",
    (folder: string) => writeFileSync(inSnapshot(folder, "state"), "fake 1.16.1 80"),
  ],
])("a snapshot %s is no clone's: that is said, and no process is left", async (_, code, words, damage) => {
  const folder = await newFolder();
  await (await freeze(folder)).machine.kill();
  damage(folder);
  await expect(clone(folder)).rejects.toMatchObject({
    name: "AppError",
    code,
    message: expect.stringContaining(words),
  });
  expect(await vms()).toEqual([]);
});

test("a folder on another file system is refused with what to do, and nothing is left lent", async () => {
  const folder = await newFolder("/dev/shm");
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { spec, machine } = await template(folder);
  const before = filesIn(chrootOf(spec.paths));
  await expect(machine.freeze(new AbortController().signal)).rejects.toMatchObject({ code: "images-elsewhere" });
  expect(filesIn(chrootOf(spec.paths))).toEqual(before);
});

test("a disk that is full while a machine is frozen is told of, and nothing is left lent", async () => {
  const { spec, machine } = await template(await newFolder());
  const before = filesIn(chrootOf(spec.paths));
  const resize = (size: string) => run("mount", ["-o", `remount,size=${size}`, fake.folder]);
  await resize(`${MEMORY_MIB / 2}m`);
  onTestFinished(async () => void (await resize("50%")));
  await expect(machine.freeze(new AbortController().signal)).rejects.toMatchObject({
    code: "vmm-refused",
    message: "Firecracker refused PUT /snapshot/create: No space left on device",
  });
  expect(filesIn(chrootOf(spec.paths))).toEqual(before);
});

test("a freeze that is ended leaves nothing lent", async () => {
  const { spec, machine } = await template(await newFolder());
  const before = filesIn(chrootOf(spec.paths));
  process.kill(machine.process.pid, "SIGSTOP");
  const ended = machine.freeze(AbortSignal.timeout(300));
  await expect(ended).rejects.toMatchObject({ name: "TimeoutError" });
  expect(filesIn(chrootOf(spec.paths))).toEqual(before);
});

test("names the build that freezes, what it tells a machine, and the host", async () => {
  const ground = await backend().snapshots?.ground(fake.image.vmlinux);
  expect(ground).toMatchObject({ vmm: "Firecracker 1.12.1", accel: "kvm", kernel: expect.any(String) });
  expect(Object.keys(ground ?? {})).toEqual(["vmm", "program", "told", "accel", "cpu", "cpuFlags", "kernel"]);
  const other = join(fake.folder, "other");
  mkdirSync(other);
  for (const name of ["firecracker", "jailer"]) {
    writeFileSync(join(other, name), Buffer.concat([readFileSync(join(fake.folder, name)), Buffer.from("x")]), {
      mode: 0o755,
    });
  }
  const rebuilt = await fake.backend({ searchPath: other }).snapshots?.ground(fake.image.vmlinux);
  expect(rebuilt).toEqual({ ...ground, program: expect.not.stringMatching(String(ground?.["program"])) });
});
