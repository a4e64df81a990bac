import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { GUEST_PROTOCOL } from "../contract/guest.ts";
import { MIB } from "../lib/units.ts";
import { hexOf } from "./digest.ts";
import { createSnapshotStore, inputsOf, snapshotKey } from "./snapshots.ts";

const inputs = {
  imageDigest: `sha256:${"1".repeat(64)}`,
  ground: { vmm: "fake 1" },
  protocol: GUEST_PROTOCOL,
  machine: { vcpuCount: 2, memoryMib: 512 },
};
const key = snapshotKey(inputs);
const MADE = { madeAt: "2026-11-30T12:00:00.000Z", coldMs: 1000 };

const emptyStore = () => {
  const root = mkdtempSync(join(tmpdir(), "sallyport-snapshots-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const snapshots = join(root, "snapshots");
  return { snapshots, store: createSnapshotStore({ snapshots }) };
};

const withOne = async () => {
  const made = emptyStore();
  const { folder, finish } = await made.store.begin(inputs);
  await writeFile(join(folder, "memory"), "all of it", { mode: 0o444 });
  const one = dirname((await finish(MADE)).folder);
  return { ...made, one, memory: join(one, "machine", "memory") };
};

test("what was made is found again, by its inputs alone, and nobody but root comes in", async () => {
  const { store, snapshots, one } = await withOne();
  expect(await store.find(key)).toMatchObject({ ...MADE, key, folder: join(one, "machine") });
  expect(await store.find(snapshotKey({ ...inputs, ground: { vmm: "fake 2" } }))).toBeUndefined();
  for (const folder of [snapshots, one]) expect(statSync(folder).mode & 0o777).toBe(0o700);
});

const linked = (path: string): void => {
  renameSync(path, `${path}.real`);
  symlinkSync(`${path}.real`, path);
};

test.each<[string, (at: { snapshots: string; one: string; memory: string }) => void, RegExp]>([
  ["whose folder is a link", ({ one }) => linked(one), /is a symbolic link/],
  ["below a link", ({ snapshots }) => linked(snapshots), /is a symbolic link/],
  ["whose machine is a link", ({ one }) => linked(join(one, "machine")), /is a symbolic link/],
  ["whose manifest is a link", ({ one }) => linked(join(one, "manifest.json")), /is a symbolic link/],
  ["whose memory is a link", ({ memory }) => linked(memory), /is a symbolic link/],
  ["that others may write to", ({ one }) => chmodSync(one, 0o777), /may be written by others/],
  [
    "whose machine others may write to",
    ({ one }) => chmodSync(join(one, "machine"), 0o777),
    /may be written by others/,
  ],
  [
    "whose manifest others may write to",
    ({ one }) => chmodSync(join(one, "manifest.json"), 0o666),
    /may be written by others/,
  ],
  ["whose memory is gone", ({ memory }) => rmSync(memory), /is missing/],
  ["that has a file more", ({ memory }) => writeFileSync(`${memory}.1`, ""), /has other files/],
  ["whose memory others may write to", ({ memory }) => chmodSync(memory, 0o666), /may be written by others/],
  ["below what others may write to", ({ snapshots }) => chmodSync(snapshots, 0o777), /may be written by others/],
])("one %s is not used, whatever its checksums say", async (_, change, why) => {
  const at = await withOne();
  change(at);
  await expect(at.store.find(key)).rejects.toMatchObject({ code: "snapshot-damaged", message: why });
  const another = createSnapshotStore({ snapshots: at.snapshots });
  await expect(another.find(key)).rejects.toMatchObject({ code: "snapshot-damaged", message: why });
});

test("none is made or removed where others may write, or where a link leads", async () => {
  const { store, snapshots, one } = await withOne();
  chmodSync(snapshots, 0o777);
  await expect(store.begin(inputs)).rejects.toMatchObject({ code: "snapshot-damaged" });
  await expect(store.keepOnly(undefined)).rejects.toMatchObject({ code: "snapshot-damaged" });
  expect(existsSync(one)).toBe(true);
});

test("where the folder is a file it is said, and not that there is none", async () => {
  const { store, snapshots } = emptyStore();
  expect([await store.find(key), await store.list(), await store.keepOnly(undefined)]).toEqual([undefined, [], []]);
  await writeFile(snapshots, "");
  for (const asked of [store.find(key), store.list(), store.keepOnly(undefined)]) {
    await expect(asked).rejects.toMatchObject({ code: "snapshot-damaged", message: /is no folder/ });
  }
});

test("one that is replaced stays for who begins with it until the next round, and the newer one is found", async () => {
  const { store, one, memory } = await withOne();
  const newer = await store.begin(inputs);
  await writeFile(join(newer.folder, "memory"), "other", { mode: 0o444 });
  const made = await newer.finish({ ...MADE, madeAt: "2026-11-30T13:00:00.000Z" });
  expect(await readFile(memory, "utf8")).toBe("all of it");
  expect(await store.find(key)).toEqual(made);
  expect(await store.keepOnly(key)).toEqual([basename(one)]);
  expect(await store.find(key)).toEqual(made);
});

test("a damaged one is in nobody's way who has made another, and goes with the next round", async () => {
  const { store, one } = await withOne();
  rmSync(join(one, "manifest.json"));
  await expect(store.find(key)).rejects.toMatchObject({ code: "snapshot-damaged" });
  const newer = await store.begin(inputs);
  await writeFile(join(newer.folder, "memory"), "other", { mode: 0o444 });
  const made = await newer.finish(MADE);
  expect(await store.find(key)).toEqual(made);
  expect(await store.keepOnly(key)).toEqual([basename(one)]);
});

test("one of several of the same inputs is removed alone, or all of them", async () => {
  const { store, one } = await withOne();
  const newer = await store.begin(inputs);
  await writeFile(join(newer.folder, "memory"), "other", { mode: 0o444 });
  const made = await newer.finish({ ...MADE, madeAt: "2026-11-30T13:00:00.000Z" });
  await store.remove(key, { folder: join(one, "machine") });
  expect(await store.list()).toEqual([made]);
  await store.remove(key);
  expect(await store.list()).toEqual([]);
});

test("of those that are begun only what this process does not make goes", async () => {
  const { store, snapshots, one } = await withOne();
  const mine = await store.begin(inputs);
  const died = await createSnapshotStore({ snapshots }).begin(inputs);
  const old = await store.keepOnly(key);
  expect(old).toEqual([died.folder.split("/").at(-2)]);
  expect(existsSync(mine.folder)).toBe(true);
  await mine.discard();
  expect(readdirSync(snapshots)).toEqual([basename(one)]);
});

test("none is begun where the disk has no room for a machine's memory: that is said in MiB, and nothing is left", async () => {
  const { store, snapshots, one } = await withOne();
  const tooLarge = { ...inputs, machine: { vcpuCount: 2, memoryMib: 2 ** 40 } };
  await expect(store.begin(tooLarge)).rejects.toMatchObject({
    code: "no-room",
    message: expect.stringMatching(/may take 10995\d+ MiB of disk, and \d+ MiB are free in/),
  });
  expect(readdirSync(snapshots)).toEqual([basename(one)]);
});

test("a new controller reads a snapshot's bytes once, however many ask for it at the same time", async () => {
  const { store, snapshots } = emptyStore();
  const unfinished = await store.begin(inputs);
  await writeFile(join(unfinished.folder, "memory"), Buffer.alloc(64 * MIB, 1));
  await unfinished.finish(MADE);
  const { find } = createSnapshotStore({ snapshots });
  const before = await bytesRead();
  const found = await Promise.all([find(key), find(key), find(key)]);
  expect(found.map((one) => one?.key)).toEqual([key, key, key]);
  expect(((await bytesRead()) - before) / MIB).toBeLessThan(100);
});

const bytesRead = async (): Promise<number> =>
  Number(/^rchar: (\d+)$/m.exec(await readFile("/proc/self/io", "utf8"))?.[1]);

test("memory that was written to is noticed by its content, though it is as long as it was", async () => {
  const { store, snapshots, memory } = await withOne();
  await writeFile(`${memory}.new`, "All of it", { mode: 0o444 });
  renameSync(`${memory}.new`, memory);
  const damaged = { code: "snapshot-damaged", message: expect.stringContaining("but was made as sha256:") };
  await expect(store.find(key)).rejects.toMatchObject(damaged);
  await expect(createSnapshotStore({ snapshots }).find(key)).rejects.toMatchObject(damaged);
});

test("another image, other ground and another machine each need another snapshot", () => {
  const image = { digest: inputs.imageDigest };
  const { ground, machine } = inputs;
  const others = [
    inputsOf({ digest: `sha256:${"2".repeat(64)}` }, ground, machine),
    inputsOf(image, { vmm: "fake 2" }, machine),
    inputsOf(image, { ...ground, kernel: "7.0" }, machine),
    inputsOf(image, ground, { ...machine, vcpuCount: 3 }),
    inputsOf(image, ground, { ...machine, memoryMib: 1024 }),
  ];
  expect(snapshotKey(inputsOf(image, ground, machine))).toBe(key);
  expect(new Set([key, ...others.map(snapshotKey)]).size).toBe(6);
});

test("one in the place of another, or whose inputs are not those of its key, is not used", async () => {
  const { store, snapshots, one } = await withOne();
  const other = snapshotKey({ ...inputs, ground: { vmm: "fake 2" } });
  const manifest = join(one, "manifest.json");
  const written = await readFile(manifest, "utf8");
  await writeFile(`${manifest}.new`, written.replace("fake 1", "fake 2"));
  renameSync(`${manifest}.new`, manifest);
  await expect(store.find(key)).rejects.toMatchObject({ code: "snapshot-damaged" });
  await writeFile(manifest, written);
  renameSync(one, join(snapshots, `${hexOf(other)}-01234567`));
  await expect(store.find(other)).rejects.toMatchObject({ code: "snapshot-damaged" });
});
