import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { findMount, lookAtHierarchy } from "./hierarchy.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sallyport-hierarchy-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const put = (path: string, text = ""): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const line = (part: string, at: string, type: string): string =>
  `30 25 0:26 ${part} ${at} rw,nosuid - ${type} ${type} rw\n`;

describe("where the hierarchy is", () => {
  test("is where it can be looked into: not below a mount that covers it, nor where only a part is", async () => {
    const covered = line("/", "/sys/fs/cgroup", "cgroup2");
    const part = line("/docker/abc", "/part", "cgroup2");
    put("/proc/self/mountinfo", covered + line("/", "/sys/fs/cgroup", "tmpfs") + part);
    put("/part/cgroup.controllers");
    expect(await findMount(root)).toBeUndefined();
    put("/proc/self/mountinfo", covered + part + line("/", "/mnt/two\\040words", "cgroup2"));
    put("/mnt/two words/cgroup.controllers");
    expect(await findMount(root)).toBe("/mnt/two words");
  });

  test("a group can be made where it can be written to, or root may mount it", async () => {
    const status = (uid: number, capabilities: string) =>
      put("/proc/self/status", `Uid:\t${uid}\t${uid}\t${uid}\t${uid}\nCapEff:\t${capabilities}\n`);
    const obstacle = async () => (await lookAtHierarchy(root)).obstacle?.seen;
    status(0, "00000000a80425fb");
    expect(await obstacle()).toContain("no CAP_SYS_ADMIN");
    status(0, "000001ffffffffff");
    expect(await obstacle()).toBeUndefined();
    // What it may not do says nothing of the controller.
    status(1000, "0000000000000000");
    expect(await obstacle()).toBeUndefined();
    status(0, "00000000a80425fb");
    put("/proc/self/mountinfo", line("/", "/sys/fs/cgroup", "cgroup2"));
    put("/sys/fs/cgroup/cgroup.controllers");
    expect(await obstacle()).toBeUndefined();
  });
});
