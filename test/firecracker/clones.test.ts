/** Clones of a real machine, beside what the conformance suite holds of them: their room, what they cost, and damaged snapshots. */
import { copyFile, link, lstat, mkdir, readFile, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { poll } from "../../src/lib/wait.ts";
import { untilQuiet } from "../../src/microvm/template.ts";
import { inSnapshot } from "../../src/vmm/firecracker/chroot.ts";
import { FROZEN_FILES } from "../../src/vmm/frozen.ts";
import { MAX_FILE_BYTES } from "../../src/vmm/jail.ts";
import { hello, WITHOUT_SCREEN } from "../conformance/vmm.ts";
import { createSuite, hooks } from "../conformance/vmm-suite.ts";
import { prepareFirecracker } from "./vmm.ts";

const TIMEOUT_MS = 300_000;
const MIB = 1024 * 1024;
const SECTOR_BYTES = 512;

/** A guest that goes on writing to its console, as one does that has something to say. */
const TICKS = `[Service]
ExecStart=/bin/sh -c 'while sleep 0.5; do echo tick >/dev/console; done'
`;
const kernelArgs = [
  ...WITHOUT_SCREEN,
  `systemd.set_credential_binary=systemd.extra-unit.ticks.service:${Buffer.from(TICKS).toString("base64")}`,
  "systemd.wants=ticks.service",
];

const { newSpec, backend, root, vms } = createSuite(prepareFirecracker);

let snapshot: string;
let memoryMib: number;

beforeAll(async () => {
  snapshot = join(root(), "snapshot");
  await mkdir(snapshot, { mode: 0o700 });
  const spec = await newSpec({ kernelArgs });
  ({ memoryMib } = spec);
  const template = await backend().snapshots?.startTemplate(spec, snapshot, hooks());
  await hello(template!);
  await untilQuiet(template!.process);
  await template!.freeze(new AbortController().signal);
  await template!.kill();
}, TIMEOUT_MS);

const clone = async (from = snapshot) => {
  const spec = await newSpec();
  return { spec, machine: await backend().start(spec, { kind: "restore", snapshot: from }, hooks()) };
};

test("a snapshot takes of the disk what its guest used", async () => {
  const [memory, state] = await Promise.all(FROZEN_FILES.map((name) => stat(inSnapshot(snapshot, name))));
  expect(memory).toMatchObject({ size: memoryMib * MIB, mode: 0o100444, uid: 0 });
  expect(memory!.blocks * SECTOR_BYTES).toBeLessThan(0.9 * memoryMib * MIB);
  expect(state!.size).toBeLessThan(MIB);
});

test("a clone sees its drive, its sockets and KVM, and has no folder that it may write to", async () => {
  const { spec, machine } = await clone();
  const inside = `/proc/${machine.process.pid}/root/`;
  const find = async (...what: string[]) => (await run("find", [inside, ...what])).stdout.trim().split("\n");
  const names = ["dev", "dev/kvm", "firecracker.pid", "rootfs.ext4", "run", "run/firecracker.socket"];
  const found = (await find("-mindepth", "1", "-printf", "%P\\n")).toSorted();
  expect(found).toEqual([...names, "run/vsock.sock", "vmm.log"]);
  expect(await find("-type", "d", "(", "-uid", String(spec.uid), "-o", "-perm", "/022", ")")).toEqual([""]);
});

test("a clone's console goes on, in its own file, and a clone writes nothing else", async () => {
  const [one, other] = [await clone(), await clone()];
  for (const { spec, machine } of [one, other]) {
    await hello(machine);
    const ticks = async () =>
      ((await readFile(spec.paths.console, "latin1")).match(/tick/g)?.length ?? 0) >= 3 || undefined;
    await poll(ticks, { what: "its console", timeoutMs: 60_000, intervalMs: 100 });
    const files = (await run("find", [spec.paths.root, "-type", "f", "-links", "1"])).stdout.trim().split("\n");
    const own = await Promise.all(files.map((file) => lstat(file)));
    expect(
      own.reduce((bytes, { blocks }) => bytes + blocks * SECTOR_BYTES, 0),
      files.join(),
    ).toBeLessThan(64 * 1024);
    const mapped = (await readFile(`/proc/${machine.process.pid}/maps`, "utf8")).match(/^.*\/memory \(deleted\)$/gm);
    expect(mapped?.map((line) => line.split(" ")[1])).toEqual(["rw-p"]);
  }
});

test("a clone's files are bounded as a boot's", async () => {
  const limits = await readFile(`/proc/${(await clone()).machine.process.pid}/limits`, "utf8");
  expect(/^Max file size +(\d+ +\d+) /m.exec(limits)?.[1]?.split(/ +/)).toEqual(Array(2).fill(String(MAX_FILE_BYTES)));
});

test.each([
  [
    "whose state is garbled",
    /^The frozen machine was not restored: Firecracker refused PUT \/snapshot\/load: .*CRC/i,
    0,
  ],
  [
    "whose memory is cut short",
    /^The frozen machine was not restored: Firecracker refused PUT \/snapshot\/load: .*memory/i,
    1,
  ],
])("a snapshot %s is no clone's: Firecracker's own words say so, and nothing is left", async (_, words, which) => {
  const damaged = join(root(), `damaged-${which}`);
  await mkdir(damaged);
  const [memory, state] = FROZEN_FILES.map((name) => [inSnapshot(snapshot, name), inSnapshot(damaged, name)] as const);
  await copyFile(...state!);
  if (which === 0) {
    await link(...memory!);
    const bytes = await readFile(state![1]);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(state![1], bytes);
  } else {
    await writeFile(memory![1], "");
    await truncate(memory![1], (memoryMib - 1) * MIB);
  }
  await expect(clone(damaged)).rejects.toMatchObject({ code: "vmm-refused", message: expect.stringMatching(words) });
  expect(await vms()).toEqual([]);
});
