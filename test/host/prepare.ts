/** What a test host is made of: its image, and the disk with everything that it carries in. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildImage, type BuildImageOptions } from "../../src/image/build.ts";
import { dataPaths, packageRoot } from "../../src/lib/paths.ts";
import { makeWorkDisk } from "./disk.ts";

/** Paths in the host. Data directory, checkout and binaries lie in one file system, as links between them need it. */
export const IN_HOST = {
  cache: "/work/cache",
  checkout: "/work/sallyport",
  binaries: "/work/bin",
  results: "/work/results",
};

export interface PrepareOptions extends Pick<BuildImageOptions, "onProgress" | "signal"> {
  /** Data directory that keeps images and disks. */
  cacheDir: string;
  /** Folder with `firecracker` and `jailer`. */
  binaries: string;
}

/** Builds what is not there yet. Throws what `buildImage` throws. */
export const prepareTestHost = async ({ cacheDir, binaries, ...how }: PrepareOptions) => {
  const paths = dataPaths(cacheDir);
  const recipeFile = fileURLToPath(new URL("image/recipe.yaml", import.meta.url));
  const { image } = await buildImage({ ...how, name: "test-host", recipeFile, paths });
  const { image: guest } = await buildImage({ ...how, name: "default", paths });
  const carried = {
    "sallyport/node_modules": join(packageRoot(), "node_modules"),
    [inCache(guest.digest)]: dirname(guest.rootfs),
    "cache/images/names/default.json": { text: JSON.stringify({ digest: guest.digest }) },
    "bin/firecracker": join(binaries, "firecracker"),
    "bin/jailer": join(binaries, "jailer"),
  };
  return { image, workDisk: await makeWorkDisk(carried, join(paths.imageCache, "test-host")) };
};

const inCache = (digest: string): string => join("cache/images", digest.slice("sha256:".length));
