/** Building an image: first, when only the agent changed, and when nothing did. */
import { appendFile, copyFile, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { buildImage, type BuildImageResult } from "../../src/image/build.ts";
import { dataPaths, packageRoot } from "../../src/lib/paths.ts";
import type { Benchmark } from "./bench.ts";
import { spreadOf, textOf } from "./figures.ts";

const ROUNDS = 5;

/** Seconds of these stages of a build. */
const secondsOf = ({ stages }: BuildImageResult, ...names: string[]): number =>
  stages.filter(({ name }) => names.includes(name)).reduce((sum, { ms }) => sum + ms / 1000, 0);

export const image: Benchmark = {
  title: "building an image",
  about: `Wanted: first ≤ 60 s, only the agent changed ≤ 10 s, nothing changed ≤ 0.5 s. **Floor**, in the same builds: of the first, mmdebstrap alone; of the second, mkfs.ext4 and the checksums. The first is built once, with nothing kept but what the archive or its proxy keeps; the others ${ROUNDS} times.`,
  run: async (context) => {
    const dataDir = await mkdtemp("/var/tmp/sallyport-bench-image-");
    try {
      const agentBundle = join(dataDir, "agent.cjs");
      await copyFile(join(packageRoot(), "dist/agent.cjs"), agentBundle);
      const { signal } = context;
      const build = async () => {
        const startedAt = performance.now();
        const result = await buildImage({ name: "bench", paths: dataPaths(dataDir), agentBundle, signal });
        return { result, seconds: (performance.now() - startedAt) / 1000 };
      };
      const first = await build();
      const agent: (typeof first)[] = [];
      const unchanged: (typeof first)[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        await appendFile(agentBundle, `// ${round}\n`);
        agent.push(await build());
        unchanged.push(await build());
      }
      const seconds = (builds: typeof agent) => spreadOf(builds.map((one) => one.seconds));
      const fileSystem = spreadOf(agent.map(({ result }) => secondsOf(result, "file-system", "checksums")));
      const firstFloor = secondsOf(first.result, "base-system");
      return {
        table: [
          ["", "seconds", "floor"],
          ["first", `${first.seconds.toFixed(1)} s`, `${firstFloor.toFixed(1)} s`],
          ["only the agent changed", textOf(seconds(agent), "s"), textOf(fileSystem, "s")],
          ["nothing changed", textOf(seconds(unchanged), "s"), ""],
        ],
        notes: [],
        figures: {
          firstSeconds: first.seconds,
          mmdebstrapSeconds: firstFloor,
          agentSeconds: seconds(agent),
          agentFloorSeconds: fileSystem,
          unchangedSeconds: seconds(unchanged),
        },
      };
    } finally {
      await rm(dataDir, { recursive: true, force: true });
    }
  },
};
