import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createSnapshotStore } from "./snapshots.ts";

test("none is begun where the disk has no room for a machine's memory: that is said in MiB, and nothing is left", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sallyport-snapshots-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const snapshots = createSnapshotStore({ snapshots: folder });
  const inputsOf = (memoryMib: number) => ({
    imageDigest: `sha256:${"1".repeat(64)}`,
    ground: {},
    machine: { vcpuCount: 2, memoryMib },
  });
  await expect(snapshots.begin(inputsOf(2 ** 40))).rejects.toMatchObject({
    code: "no-room",
    message: expect.stringMatching(/may take 10995\d+ MiB of disk, and \d+ MiB are free in/),
  });
  expect(await readdir(folder)).toEqual([]);
  await (await snapshots.begin(inputsOf(1))).discard();
});
