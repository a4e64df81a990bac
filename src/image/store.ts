/** Images on disk: `<images>/<digest>/` holds one, `<images>/names/<name>.json` says which one a name means. */
import { chmod, mkdir, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { IMAGE_FILES, imageManifest, imageName, imagePointer, type ImageManifest } from "../contract/image-manifest.ts";
import { writeFileAtomically } from "../lib/atomic-file.ts";
import { AppError } from "../lib/errors.ts";
import type { DataPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { digestOfFile, hexOf, imageDigest } from "./digest.ts";

/** What an image is once built: immutable, found by the digest of its content. */
export type Image = Awaited<ReturnType<typeof toImage>>;

export type ImageStore = ReturnType<typeof createImageStore>;

export const createImageStore = (paths: DataPaths) => {
  const names = join(paths.images, "names");
  const folderOf = (digest: string): string => join(paths.images, hexOf(digest));
  const pointerOf = (name: string): string => join(names, `${checkName(name)}.json`);

  const store = {
    /** The image a name stands for, or undefined. Throws AppError `image-damaged` when its manifest cannot be read. */
    find: async (name: string): Promise<Image | undefined> => {
      const manifest = await store.manifest(name);
      return manifest && toImage(name, folderOf(manifest.digest), manifest);
    },

    /** What the build wrote about it, or undefined; its files may be gone. Throws as `find`. */
    manifest: async (name: string): Promise<ImageManifest | undefined> => {
      const pointer = await readJson(pointerOf(name), imagePointer);
      return pointer && readManifest(folderOf(pointer.digest));
    },

    list: async (): Promise<Image[]> => {
      const files = (await entries(names)).filter((file) => file.endsWith(".json")).sort();
      const images = await Promise.all(files.map((file) => store.find(file.slice(0, -".json".length))));
      return images.filter((image) => image !== undefined);
    },

    /** Compares with the manifest: every checksum computed anew, or with `sizes` only what is told in no time. Throws AppError `no-image`. */
    verify: async (name: string, by: "checksums" | "sizes" = "checksums") => {
      const manifest = await store.manifest(name);
      if (!manifest) throw noImage(name);
      const check = by === "sizes" ? checkSize : checkFile;
      const folder = folderOf(manifest.digest);
      const problems = (await Promise.all(IMAGE_FILES.map((file) => check(folder, file, manifest)))).flat();
      const digest = digestOfManifest(manifest);
      if (digest !== manifest.digest) problems.push(`manifest.json: describes ${digest}, not ${manifest.digest}`);
      return { ok: problems.length === 0, problems };
    },

    /** The newest complete image made from the same inputs. */
    findByInputs: async (inputsDigest: string): Promise<ImageManifest | undefined> => {
      const folders = (await entries(paths.images)).filter((name) => /^[0-9a-f]{64}$/.test(name));
      const manifests = await Promise.all(folders.map((name) => readManifest(join(paths.images, name))));
      const matching = manifests.filter((manifest) => manifest?.inputs.digest === inputsDigest) as ImageManifest[];
      matching.sort((a, b) => b.builtAt.localeCompare(a.builtAt));
      for (const manifest of matching) if (await isComplete(folderOf(manifest.digest), manifest)) return manifest;
      return undefined;
    },

    /** Takes a finished folder over and makes it read-only. `aside` receives one of the same digest that was there already. */
    add: async (folder: string, manifest: ImageManifest, aside: string): Promise<void> => {
      const target = folderOf(manifest.digest);
      await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
      for (const file of [...IMAGE_FILES, "manifest.json"]) await chmod(join(folder, file), 0o444);
      await chmod(folder, 0o755);
      await mkdir(paths.images, { recursive: true });
      await unlessMissing(rename(target, aside), undefined);
      await rename(folder, target);
    },

    /** Lets a name mean an image, at one stroke. */
    point: async (name: string, digest: string): Promise<Image> => {
      const pointer = pointerOf(name);
      await mkdir(names, { recursive: true });
      writeFileAtomically(pointer, `${JSON.stringify({ digest })}\n`, 0o644);
      const image = await store.find(name);
      if (!image) throw noImage(name);
      return image;
    },
  };
  return store;
};

/** A name becomes part of a path. Throws AppError `bad-image-name`. */
const checkName = (name: string): string => {
  const result = imageName.safeParse(name);
  if (result.success) return result.data;
  const what = result.error.issues[0]?.message;
  throw new AppError("invalid", "bad-image-name", `The image name ${JSON.stringify(name)} ${what}.`);
};

export const digestOfManifest = ({ files, inputs }: Pick<ImageManifest, "files" | "inputs">): string =>
  imageDigest({
    rootfs: files["rootfs.ext4"].digest,
    vmlinux: files.vmlinux.digest,
    initrd: files.initrd.digest,
    recipe: inputs.recipe,
  });

const noImage = (name: string): AppError =>
  new AppError("not-found", "no-image", `There is no image named ${name}.`, {
    hint: `Build it: sallyport image build --name ${name}`,
  });

const toImage = async (name: string, folder: string, manifest: ImageManifest) => {
  const sizes = await Promise.all(IMAGE_FILES.map(async (file) => (await stat(join(folder, file))).blocks * 512));
  return {
    name,
    /** `sha256:<hex>` over the digests of the three files and the recipe. */
    digest: manifest.digest,
    base: manifest.base,
    builtAt: manifest.builtAt,
    /** On disk. */
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    rootfs: join(folder, "rootfs.ext4"),
    vmlinux: join(folder, "vmlinux"),
    initrd: join(folder, "initrd"),
  };
};

type ImageFile = (typeof IMAGE_FILES)[number];

const checkFile = async (folder: string, file: ImageFile, manifest: ImageManifest): Promise<string[]> => {
  const wanted = manifest.files[file].digest;
  const actual = await unlessMissing(digestOfFile(join(folder, file)), "missing");
  return actual === wanted ? [] : [`${file}: is ${actual}, but was built as ${wanted}`];
};

const checkSize: typeof checkFile = async (folder, file, manifest) => {
  const wanted = manifest.files[file].bytes;
  const actual = (await unlessMissing(stat(join(folder, file)), undefined))?.size;
  if (actual === undefined) return [`${file}: is missing`];
  return actual === wanted ? [] : [`${file}: has ${actual} bytes, but was built with ${wanted}`];
};

const isComplete = async (folder: string, manifest: ImageManifest): Promise<boolean> =>
  (await Promise.all(IMAGE_FILES.map((file) => checkSize(folder, file, manifest)))).flat().length === 0;

const readManifest = (folder: string): Promise<ImageManifest | undefined> =>
  readJson(join(folder, "manifest.json"), imageManifest);

const readJson = async <T>(path: string, shape: z.ZodType<T>): Promise<T | undefined> => {
  const text = await unlessMissing(readFile(path, "utf8"), undefined);
  if (text === undefined) return undefined;
  try {
    return shape.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError("internal", "image-damaged", `${path} is not what an image build wrote.`, {
      cause,
      hint: "Remove the folder it lies in and build the image again.",
    });
  }
};

const entries = (folder: string): Promise<string[]> => unlessMissing(readdir(folder), []);
