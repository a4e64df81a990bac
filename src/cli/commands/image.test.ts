import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { expect, onTestFinished, test } from "vitest";
import { digestOf } from "../../image/digest.ts";
import { createSnapshotStore, inputsOf } from "../../image/snapshots.ts";
import { createImageStore, digestOfManifest } from "../../image/store.ts";
import { dataPaths } from "../../lib/paths.ts";
import type { CliContext } from "../context.ts";
import { addImage } from "./image.ts";

const IMAGE_FILES = ["rootfs.ext4", "vmlinux", "initrd"];

/** A data directory with an image that has a warm snapshot, and one that has none. */
const dataDir = async (): Promise<string> => {
  const root = mkdtempSync(join(tmpdir(), "sallyport-image-ls-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const paths = dataPaths(root);
  const images = createImageStore(paths);
  for (const name of ["default", "other"]) {
    const draft = join(root, "draft");
    await mkdir(draft);
    for (const file of IMAGE_FILES) await writeFile(join(draft, file), name);
    const file = { digest: digestOf(name), bytes: name.length };
    const files = { "rootfs.ext4": file, vmlinux: file, initrd: file };
    const part = digestOf(name);
    const inputs = { digest: part, recipe: part, baseSystem: part, guestFiles: part, agent: part };
    const digest = digestOfManifest({ files, inputs });
    const about = {
      format: 1,
      base: "debian:trixie",
      builtAt: "2026-11-30T10:00:00.000Z",
      kernelRelease: "6.12",
    } as const;
    await images.add(draft, { ...about, digest, inputs, packages: {}, files }, join(root, "aside"));
    await images.point(name, digest);
    if (name === "other") continue;
    const machine = { vcpuCount: 2, memoryMib: 512 };
    const made = await createSnapshotStore(paths).begin(inputsOf({ digest }, { vmm: "fake 1" }, machine));
    await writeFile(join(made.folder, "memory"), Buffer.alloc(2 ** 21, 1));
    await made.finish({ madeAt: new Date(Date.now() - 3 * 3_600_000).toISOString(), coldMs: 37_200 });
  }
  return root;
};

test("image ls has the warm snapshot of each image: its age, what it takes on disk, its VMM, and what it spares", async () => {
  const root = await dataDir();
  const lines: string[] = [];
  const context = {
    config: () => ({ dataDir: root }),
    out: { result: (_: unknown, text: () => string[]) => lines.push(...text()) },
  } as unknown as CliContext;
  const program = new Command();
  addImage(program, context);
  await program.parseAsync(["image", "ls"], { from: "user" });
  expect(lines.find((line) => line.startsWith("default "))).toMatch(
    / {2}3 h old, 2\.?\d* MiB, fake 1, cold 37\.2 s {2}sha256:/,
  );
  expect(lines.find((line) => line.startsWith("other "))).toMatch(/ {2}- +sha256:/);
});
