/** All that decides what an image will be, read and digested before anything is built. */
import { join } from "node:path";
import type { ImageManifest } from "../contract/image-manifest.ts";
import { packageRoot } from "../lib/paths.ts";
import { baseSystemDigest, baseSystemOf, type BaseSystem } from "./base-system.ts";
import { digestOf, digestOfValue } from "./digest.ts";
import { filesDigest, filesOnTop, initramfsFiles, readAgent, readGuestFiles } from "./guest-files.ts";
import { loadRecipe, recipeDigest, type GuestFile, type ResolvedRecipe } from "./recipe.ts";

export interface Inputs {
  recipe: ResolvedRecipe;
  base: BaseSystem;
  /** Laid over the base system. */
  files: GuestFile[];
  digests: ImageManifest["inputs"];
}

/** Part of every image's inputs: raise it when the same inputs shall make another image. */
const BUILDER_FORMAT = 1;

/** Throws what reading a recipe throws, and AppError `agent-not-built`. */
export const readInputs = async (options: { recipeFile?: string; agentBundle?: string }): Promise<Inputs> => {
  const recipe = await loadRecipe(options.recipeFile);
  const ours = await readGuestFiles(join(packageRoot(), "src/guest/rootfs"));
  const agent = await readAgent(options.agentBundle ?? join(packageRoot(), "dist/agent.cjs"));
  const base = baseSystemOf(recipe, initramfsFiles(ours));
  const parts = {
    recipe: recipeDigest(recipe),
    baseSystem: baseSystemDigest(base),
    guestFiles: filesDigest(ours),
    agent: digestOf(agent.content),
  };
  return {
    recipe,
    base,
    files: filesOnTop(ours, agent, recipe),
    digests: { ...parts, digest: digestOfValue({ ...parts, builder: BUILDER_FORMAT }) },
  };
};
