import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, afterEach, describe, expect, test } from "vitest";
import { controllersIn, findMount, lookAtHierarchy } from "./hierarchy.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sallyport-hierarchy-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const put = (path: string, text = ""): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const group = (folder: string, files: Record<string, string>): void => {
  for (const [name, text] of Object.entries(files)) put(`${folder}/cgroup.${name}`, text);
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

describe("what bounds a microVM", () => {
  const ALL = "cpuset cpu io memory hugetlb pids rdma\n";
  beforeEach(() => put("/proc/self/mountinfo", line("/", "/sys/fs/cgroup", "cgroup2")));
  const bounds = async (files: Record<string, string>) => {
    group("/sys/fs/cgroup", files);
    const { controllers, gap } = await lookAtHierarchy(root);
    return { controllers, gap: gap?.seen };
  };

  test("are all controllers at the host's own top, processes or not", async () => {
    const top = { controllers: ALL, subtree_control: "\n", procs: "1\n2\n" };
    expect(await bounds(top)).toEqual({ controllers: ["cpu", "memory", "pids"], gap: undefined });
    expect(await bounds({ ...top, controllers: "cpu io\n" })).toEqual({
      controllers: ["cpu"],
      gap: "cgroup v2 cannot bound memory, pids",
    });
  });

  test("are none in a container whose processes are in its topmost group, which gives none of them on", async () => {
    const container = { controllers: ALL, subtree_control: "\n", type: "domain\n", procs: "1\n" };
    const gap = expect.stringContaining("cannot bound cpu, memory, pids: there are processes in its topmost group");
    expect(await bounds(container)).toEqual({ controllers: [], gap });
    expect(await controllersIn(join(root, "/sys/fs/cgroup"))).toMatchObject({ isHeld: true });
    expect(await bounds({ ...container, procs: "" })).toEqual({
      controllers: ["cpu", "memory", "pids"],
      gap: undefined,
    });
    const given = { ...container, subtree_control: "cpu memory pids\n" };
    expect(await bounds(given)).toMatchObject({ controllers: ["cpu", "memory", "pids"] });
  });
});
