import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { limitCgroup } from "./cgroup.ts";

const LIMITS = { memoryMib: 512, pids: 192, cpus: 2 };
let group: string;
beforeEach(() => void (group = mkdtempSync(join(tmpdir(), "sallyport-cgroup-"))));
afterEach(() => rmSync(group, { recursive: true }));

/** What is written into those files, of which the kernel has these. */
const limited = async (files: string[]): Promise<Record<string, string>> => {
  for (const file of files) writeFileSync(join(group, file), "");
  await limitCgroup(group, LIMITS);
  return Object.fromEntries(readdirSync(group).map((file) => [file, readFileSync(join(group, file), "utf8")]));
};

const ALL = {
  "memory.max": "536870912",
  "memory.swap.max": "0",
  "memory.oom.group": "1",
  "pids.max": "192",
  "cpu.max": "200000 100000",
};

test("a group's memory, swap, processes and processors are bounded, and it ends as a whole", async () => {
  expect(await limited(Object.keys(ALL))).toEqual(ALL);
});

test("what the kernel has no file for is left out, and the rest is bounded", async () => {
  expect(await limited(["pids.max"])).toEqual({ "pids.max": "192" });
});
