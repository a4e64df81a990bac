/** What the rest of this suite counts on. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, inject, test } from "vitest";
import { createImageStore, type Image } from "../../src/image/store.ts";
import { run } from "../../src/lib/exec.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { keepFigures } from "./results.ts";

let image: Image | undefined;
beforeAll(async () => {
  image = await createImageStore(dataPaths(inject("imageDataDir"))).find("default");
});

test("KVM boots a kernel here", () => {
  expect(inject("kvm")).toMatchObject({ usable: true });
});

test("cgroups of version 2 limit memory, processors and processes", async () => {
  const controllers = (await readFile("/sys/fs/cgroup/cgroup.controllers", "utf8")).trim().split(" ");
  expect(controllers).toEqual(expect.arrayContaining(["cpu", "memory", "pids"]));
});

test("images and data directories share a file system, so that files can be linked", async () => {
  const dataDir = inject("imageDataDir");
  expect((await stat(dataDir)).dev).toBe((await stat(image?.rootfs ?? "")).dev);
});

test("Firecracker and jailer are of one version", async () => {
  const folder = process.env.SALLYPORT_TEST_FIRECRACKER ?? "";
  const versions = await Promise.all(
    ["firecracker", "jailer"].map(async (name) => {
      const { stdout } = await run(join(folder, name), ["--version"]);
      return /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
    }),
  );
  expect(versions).toEqual([expect.stringMatching(/^\d/), versions[0]]);
  await keepFigures("version", { firecracker: versions[0] ?? "" });
});
