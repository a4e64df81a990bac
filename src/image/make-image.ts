/** The building itself: base system, guest on top of it, kernel out of it, file system from it. All inside one workspace. */
import { copyFile, mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { IMAGE_FILES, type ImageManifest } from "../contract/image-manifest.ts";
import { makeBaseSystem } from "./base-system.ts";
import { digestOfFile } from "./digest.ts";
import { makeExt4 } from "./ext4.ts";
import { copyLayer, findKernel, installedPackages, layGuest, runRecipeCommands, scrubTree } from "./guest-tree.ts";
import type { Inputs } from "./inputs.ts";
import type { Stages } from "./progress.ts";
import { digestOfManifest } from "./store.ts";
import { extractVmlinux } from "./vmlinux.ts";

export interface MakeOptions {
  /** Folder of this build alone. */
  workspace: string;
  /** Where the base system is kept for later builds: a folder that only root may enter, for it holds set-uid programs. */
  layer: string;
  hasLayer: boolean;
  mirror?: string;
  stages: Stages;
  signal: AbortSignal;
}

/** Makes `folder` with the image's three files, and the manifest that describes them. */
export const makeImage = async (inputs: Inputs, options: MakeOptions) => {
  const { workspace, layer, stages, signal } = options;
  const { distribution, suite, commands } = inputs.recipe;
  const tree = join(workspace, "tree");
  const folder = join(workspace, "image");
  await mkdir(folder);

  if (!options.hasLayer) {
    await stages.run("base-system", `installing ${distribution} ${suite} with mmdebstrap`, (report) =>
      makeLayer(inputs, { ...options, report }),
    );
  }
  await stages.run("guest", "laying the guest's own files over the base system", async () => {
    await copyLayer(join(layer, "tree"), commands.length > 0, { tree, signal });
    await layGuest(inputs.files, { tree, signal });
  });
  if (commands.length > 0) {
    await stages.run("commands", "running the recipe's commands", (report) =>
      runRecipeCommands(inputs.recipe, { tree, signal, report }),
    );
  }
  const kernelRelease = await stages.run("kernel", "taking the kernel out", () => takeKernel(tree, folder));
  const packages = await installedPackages({ tree, signal });
  await stages.run("file-system", "making the root file system", async () => {
    await scrubTree({ tree, signal });
    await makeExt4(tree, join(folder, "rootfs.ext4"), inputs.digests.digest, signal);
  });
  const files = await stages.run("checksums", "computing checksums", () => describeFiles(folder, signal));

  const manifest: ImageManifest = {
    format: 1,
    digest: digestOfManifest({ files, inputs: inputs.digests }),
    base: `${distribution}:${suite}`,
    builtAt: new Date().toISOString(),
    inputs: inputs.digests,
    kernelRelease,
    packages,
    files,
  };
  return { folder, manifest };
};

/** The layer appears under its name only when it is whole. */
const makeLayer = async ({ base }: Inputs, options: MakeOptions & { report: (message: string) => void }) => {
  const { workspace, layer } = options;
  const unfinished = join(workspace, "layer");
  await mkdir(unfinished, { mode: 0o700 });
  await makeBaseSystem(base, { ...options, tree: join(unfinished, "tree"), workDir: workspace });
  await mkdir(join(layer, ".."), { recursive: true });
  await rename(unfinished, layer);
};

const takeKernel = async (tree: string, folder: string): Promise<string> => {
  const kernel = await findKernel(tree);
  await writeFile(join(folder, "vmlinux"), extractVmlinux(await readFile(kernel.bzImage)));
  await copyFile(kernel.initrd, join(folder, "initrd"));
  return kernel.release;
};

const describeFiles = async (folder: string, signal: AbortSignal): Promise<ImageManifest["files"]> => {
  const described = await Promise.all(
    IMAGE_FILES.map(async (file) => {
      const path = join(folder, file);
      return [file, { digest: await digestOfFile(path, signal), bytes: (await stat(path)).size }] as const;
    }),
  );
  return Object.fromEntries(described) as ImageManifest["files"];
};
