import { mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { makeWorkDisk } from "../host/disk.ts";

let root = "";
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sallyport-disk-"));
  await mkdir(join(root, "packages/one"), { recursive: true });
  await writeFile(join(root, "packages/one/index.js"), "1");
  await writeFile(join(root, "packages/.package-lock.json"), "v1");
});
afterEach(() => rm(root, { recursive: true }));

const make = (text = "hello"): Promise<string> =>
  makeWorkDisk({ "a/packages": join(root, "packages"), "b/text": { text } }, join(root, "disks"));
const read = async (disk: string, path: string): Promise<string> =>
  (await run("/usr/sbin/debugfs", ["-R", `cat ${path}`, disk])).stdout;

test("a disk holds what it was told to, sparsely, and nothing stays beside it", async () => {
  const disk = await make();
  expect(await read(disk, "/a/packages/one/index.js")).toBe("1");
  expect(await read(disk, "/b/text")).toBe("hello");
  const { size, blocks } = await stat(disk);
  expect(size).toBeGreaterThanOrEqual(10 * 1024 ** 3);
  expect(blocks * 512).toBeLessThan(64 * 1024 ** 2);
  expect(await readdir(join(root, "disks"))).toHaveLength(1);
});

test("the same things make the same disk; other packages, or another text, another one, and old ones go", async () => {
  const disk = await make();
  expect(await make()).toBe(disk);
  const other = await make("other");
  expect(other).not.toBe(disk);
  await writeFile(join(root, "packages/.package-lock.json"), "v2");
  await utimes(disk, 0, 0);
  const third = await make();
  expect(third).not.toBe(disk);
  expect((await readdir(join(root, "disks"))).map((name) => join(root, "disks", name)).toSorted()).toEqual(
    [other, third].toSorted(),
  );
});
