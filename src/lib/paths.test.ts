import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { dataPaths } from "./paths.ts";

test("a data directory has one control group, whatever links lead to it, before and after it is made", () => {
  const root = mkdtempSync(join(tmpdir(), "sallyport-paths-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, "disk"));
  symlinkSync("disk", join(root, "link"));
  const groups = () => ["disk/a", "link/a"].map((name) => dataPaths(join(root, name)).cgroup);
  const before = groups();
  mkdirSync(join(root, "disk/a"));
  expect(new Set([...before, ...groups()]).size).toBe(1);
  expect(dataPaths(join(root, "disk/b")).cgroup).not.toBe(before[0]);
});
