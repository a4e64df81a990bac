import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { MIB } from "../lib/units.ts";
import { createSnapshotStore } from "./snapshots.ts";

const newFolder = async (): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "sallyport-snapshots-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
};

const inputsOf = (memoryMib: number) => ({
  imageDigest: `sha256:${"1".repeat(64)}`,
  ground: {},
  machine: { vcpuCount: 2, memoryMib },
});

test("none is begun where the disk has no room for a machine's memory: that is said in MiB, and nothing is left", async () => {
  const folder = await newFolder();
  const snapshots = createSnapshotStore({ snapshots: folder });
  await expect(snapshots.begin(inputsOf(2 ** 40))).rejects.toMatchObject({
    code: "no-room",
    message: expect.stringMatching(/may take 10995\d+ MiB of disk, and \d+ MiB are free in/),
  });
  expect(await readdir(folder)).toEqual([]);
  await (await snapshots.begin(inputsOf(1))).discard();
});

test("a new controller reads a snapshot's bytes once, however many ask for it at the same time", async () => {
  const folder = await newFolder();
  const unfinished = await createSnapshotStore({ snapshots: folder }).begin(inputsOf(1));
  await writeFile(join(unfinished.folder, "memory"), Buffer.alloc(64 * MIB, 1));
  const { key } = await unfinished.finish({ madeAt: new Date().toISOString(), coldMs: 1 });
  const { find } = createSnapshotStore({ snapshots: folder });
  const before = await bytesRead();
  const found = await Promise.all([find(key), find(key), find(key)]);
  expect(found.map((one) => one?.key)).toEqual([key, key, key]);
  expect(((await bytesRead()) - before) / MIB).toBeLessThan(100);
});

const bytesRead = async (): Promise<number> =>
  Number(/^rchar: (\d+)$/m.exec(await readFile("/proc/self/io", "utf8"))?.[1]);
