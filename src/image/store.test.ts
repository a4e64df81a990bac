import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { IMAGE_FILES, type ImageManifest } from "../contract/image-manifest.ts";
import { dataPaths } from "../lib/paths.ts";
import { digestOf, hexOf } from "./digest.ts";
import { createImageStore, digestOfManifest } from "./store.ts";

let root: string;
const store = () => createImageStore(dataPaths(root));

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sallyport-images-"));
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

/** An image of three short files, taken over by the store. */
const addImage = async (): Promise<ImageManifest> => {
  const folder = join(root, "finished");
  mkdirSync(folder);
  for (const file of IMAGE_FILES) writeFileSync(join(folder, file), file);
  const described = IMAGE_FILES.map((file) => [file, { digest: digestOf(Buffer.from(file)), bytes: file.length }]);
  const files = Object.fromEntries(described) as ImageManifest["files"];
  const one = digestOf(Buffer.from("inputs"));
  const inputs = { recipe: one, baseSystem: one, guestFiles: one, agent: one, digest: one };
  const manifest: ImageManifest = {
    format: 1,
    digest: digestOfManifest({ files, inputs }),
    base: "debian:trixie",
    builtAt: "2026-01-01T00:00:00.000Z",
    inputs,
    kernelRelease: "6.12",
    packages: {},
    files,
  };
  await store().add(folder, manifest, join(root, "aside"));
  return manifest;
};

test.each(["../sallyport", "a/b", "", ".", "..", "a\0b"])(
  "a name that would be another path is refused: %j",
  async (name) => {
    await expect(store().manifest(name)).rejects.toMatchObject({ code: "bad-image-name" });
    await expect(store().point(name, digestOf(Buffer.from("x")))).rejects.toMatchObject({ code: "bad-image-name" });
    expect(existsSync(join(root, "images"))).toBe(false);
  },
);

test("an image is writable by nobody, and found by its name", async () => {
  const { digest } = await addImage();
  const image = await store().point("work", digest);
  expect(image).toMatchObject({ name: "work", digest });
  for (const file of [...IMAGE_FILES, "manifest.json"]) {
    expect(statSync(join(root, "images", hexOf(digest), file)).mode & 0o777).toBe(0o444);
  }
  expect((await store().list()).map(({ name }) => name)).toEqual(["work"]);
});

test("a file that was changed is found by its checksum, one of another size by its size as well", async () => {
  const { digest } = await addImage();
  await store().point("work", digest);
  expect(await store().verify("work")).toEqual({ ok: true, problems: [] });
  const file = join(root, "images", hexOf(digest), "initrd");
  chmodSync(file, 0o644);
  writeFileSync(file, "inItrd");
  expect((await store().verify("work", "sizes")).ok).toBe(true);
  expect((await store().verify("work")).problems).toEqual([expect.stringMatching(/^initrd/)]);
  writeFileSync(file, "longer than it was");
  expect((await store().verify("work", "sizes")).problems).toEqual([expect.stringMatching(/^initrd/)]);
});
