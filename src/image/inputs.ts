/** All that decides what an image will be, read and digested before anything is built. */
import { join } from "node:path";
import { packageRoot } from "../lib/paths.ts";
import { baseSystemDigest, baseSystemOf } from "./base-system.ts";
import { digestOf, digestOfValue } from "./digest.ts";
import { filesDigest, filesOnTop, initramfsFiles, readAgent, readGuestFiles } from "./guest-files.ts";
import { loadRecipe, recipeDigest } from "./recipe.ts";

export type Inputs = Awaited<ReturnType<typeof readInputs>>;

/** Part of every image's inputs: raise it when the same inputs shall make another image. */
const BUILDER_FORMAT = 1;

/** Throws what reading a recipe throws, and AppError `agent-not-built`. */
export const readInputs = async (options: { recipeFile?: string; agentBundle?: string }) => {
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
    /** Laid over the base system. */
    files: filesOnTop(ours, agent, recipe),
    digests: { ...parts, digest: digestOfValue({ ...parts, builder: BUILDER_FORMAT }) },
  };
};
