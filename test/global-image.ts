/** Image that the guests of the tests boot from: built once per machine, found in seconds afterwards. */
import type { TestProject } from "vitest/node";
import { buildImage } from "../src/image/build.ts";
import { dataPaths } from "../src/lib/paths.ts";
import { build } from "../scripts/build.mjs";
import { tellImage, testCache } from "./cache.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Data directory that holds the image `default`, and nothing of a session. */
    imageDataDir: string;
  }
}

const BUILD_TIMEOUT_MS = 15 * 60_000;

export default async (project: TestProject): Promise<void> => {
  await build();
  const dataDir = testCache();
  await buildImage({
    name: "default",
    paths: dataPaths(dataDir),
    onProgress: tellImage(console.log),
    signal: AbortSignal.timeout(BUILD_TIMEOUT_MS),
  });
  project.provide("imageDataDir", dataDir);
};
