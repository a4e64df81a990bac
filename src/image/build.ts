/** From a recipe to an image. Nothing is visible before it is finished, and nothing stays of a build that was not. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Cleanup } from "../lib/cleanup.ts";
import type { DataPaths } from "../lib/paths.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { hexOf } from "./digest.ts";
import { readInputs } from "./inputs.ts";
import { makeImage } from "./make-image.ts";
import { checkHost } from "./preflight.ts";
import { Stages, type OnProgress } from "./progress.ts";
import { createImageStore } from "./store.ts";
import { openWorkspace } from "./workspace.ts";

export interface BuildImageOptions {
  /** YAML or JSON; absent: the built-in recipe. */
  recipeFile?: string;
  name: string;
  /** URI of an archive to use instead of the host's own. */
  mirror?: string;
  paths: DataPaths;
  /** The bundled guest agent; default `dist/agent.cjs` of this package. */
  agentBundle?: string;
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

/** `wasBuilt` is false where the same inputs had been built before. */
export type BuildImageResult = Awaited<ReturnType<typeof buildImage>>;

const FREE_GIB = { withBaseSystem: 4, withoutBaseSystem: 2 };

/**
 * Builds the recipe's image, or finds the one that the same inputs made before, and lets `name` mean it. Only building needs
 * root. Throws AppError `bad-image-name`, `bad-recipe`, `recipe-unreadable`, `agent-not-built`; `not-root`, `program-missing`,
 * `disk-full`, `image-build-busy`; `archive-unreachable`, `unknown-package`, `base-system-failed`, `recipe-command-failed`,
 * `no-kernel`, `kernel-unusable`. On abort it throws the signal's reason, when everything is cleaned up.
 */
export const buildImage = async (options: BuildImageOptions) => {
  const { name, paths } = options;
  const signal = options.signal ?? new AbortController().signal;
  const stages = new Stages(options.onProgress);
  const store = createImageStore(paths);
  const current = await store.find(name);

  const { inputs, known } = await stages.run("inputs", "comparing with the images there are", async () => {
    const inputs = await readInputs(options);
    return { inputs, known: await store.findByInputs(inputs.digests.digest) };
  });
  if (known) {
    const image = current?.digest === known.digest ? current : await store.point(name, known.digest);
    return { image, wasBuilt: false, stages: stages.times };
  }

  const layer = join(paths.imageCache, "layers", hexOf(inputs.digests.baseSystem));
  const hasLayer = (await unlessMissing(stat(layer), undefined)) !== undefined;
  const freeGib = hasLayer ? FREE_GIB.withoutBaseSystem : FREE_GIB.withBaseSystem;
  await checkHost({ distribution: inputs.recipe.distribution, folder: paths.imageCache, freeGib });

  const cleanup = new Cleanup();
  try {
    const workspace = await openWorkspace(paths.imageCache, cleanup);
    const { folder, manifest } = await makeImage(inputs, { ...options, workspace, layer, hasLayer, stages, signal });
    await store.add(folder, manifest, join(workspace, "replaced"));
    return { image: await store.point(name, manifest.digest), wasBuilt: true, stages: stages.times };
  } finally {
    await cleanup.run();
  }
};
