/** What the rest of this suite counts on. */
import { link, mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject, onTestFinished, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { findImage } from "../conformance/real-machine.ts";
import { keepFigures } from "./results.ts";
import { PROGRAMS } from "./vmm.ts";

test("KVM boots a kernel here", () => {
  expect(inject("kvm")).toMatchObject({ usable: true });
});

test("cgroups of version 2 limit memory, processors and processes", async () => {
  const controllers = (await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8")).trim().split(" ");
  expect(controllers).toEqual(expect.arrayContaining(["cpu", "memory", "pids"]));
});

test("images and data directories share a file system, so that files can be linked", async () => {
  const dataDir = await mkdtemp(join(inject("imageDataDir"), "link-"));
  onTestFinished(() => rm(dataDir, { recursive: true }));
  const image = await findImage();
  for (const name of ["vmlinux", "initrd", "rootfs"] as const) {
    await link(image[name], join(dataDir, name));
    expect((await stat(join(dataDir, name))).ino).toBe((await stat(image[name])).ino);
  }
});

test("Firecracker and jailer are of one version", async () => {
  const versions = await Promise.all(
    ["firecracker", "jailer"].map(async (name) => {
      const { stdout } = await run(join(PROGRAMS, name), ["--version"]);
      return /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
    }),
  );
  expect(versions).toEqual([expect.stringMatching(/^\d/), versions[0]]);
  await keepFigures("version", { firecracker: versions[0] ?? "" });
});
