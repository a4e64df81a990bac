/** What a test host is made of: its image, and the disk with everything that it carries in. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildImage, type BuildImageOptions } from "../../src/image/build.ts";
import type { Image } from "../../src/image/store.ts";
import { dataPaths, packageRoot } from "../../src/lib/paths.ts";
import { AUTHORITY_FOLDER, makeTrustingImage } from "../e2e/sign-in.ts";
import { makeWorkDisk, type Carried } from "./disk.ts";
import { prepareEmulator } from "./emulator.ts";

/** Paths in the host. Data directory, checkout and binaries lie in one file system, as links between them need it. */
export const IN_HOST = {
  cache: "/carried/cache",
  checkout: "/carried/sallyport",
  binaries: "/carried/bin",
  results: "/carried/results",
};

export interface PrepareOptions extends Pick<BuildImageOptions, "onProgress" | "signal"> {
  /** Data directory that keeps images and disks. */
  cacheDir: string;
  /** Folder with `firecracker` and `jailer`. */
  binaries: string;
}

const recipeBeside = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** Builds what is not there yet. Throws what `buildImage` throws. */
export const prepareTestHost = async ({ cacheDir, binaries, ...how }: PrepareOptions) => {
  const paths = dataPaths(cacheDir);
  const build = async (name: string, recipe?: string): Promise<Image> =>
    (await buildImage({ ...how, name, paths, ...(recipe ? { recipeFile: recipeBeside(recipe) } : {}) })).image;
  const image = await build("test-host", "image/recipe.yaml");
  const guests = [
    await build("default"),
    (await makeTrustingImage(cacheDir)).image,
    await build("documents-network", "../fixtures/documents-network.yaml"),
  ];
  const carried: Carried = {
    "sallyport/node_modules": join(packageRoot(), "node_modules"),
    "bin/firecracker": join(binaries, "firecracker"),
    "bin/jailer": join(binaries, "jailer"),
    [`cache/${AUTHORITY_FOLDER}`]: join(cacheDir, AUTHORITY_FOLDER),
  };
  for (const { name, digest, rootfs } of guests) {
    carried[`cache/images/${digest.slice("sha256:".length)}`] = dirname(rootfs);
    carried[`cache/images/names/${name}.json`] = { text: JSON.stringify({ digest }) };
  }
  return {
    image,
    workDisk: await makeWorkDisk(carried, join(paths.imageCache, "test-host")),
    emulator: await prepareEmulator(cacheDir, how.signal),
  };
};
