/** What tests of the suite hand out besides passing: figures for its last line, and files for whoever reads a failure. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

/** All figures, each written by one test. */
export const figures = z.object({
  /** Version of the binary. */
  firecracker: z.string(),
  /** A whole sign-in with a browser and a person. */
  signIn: z.literal("ok"),
  /** From the start of a microVM to its session being ready. */
  coldMs: z.int(),
  /** What a program in the place of the VMM tried, and what of it was refused or bounded. */
  escapes: z.object({ tried: z.int(), held: z.int() }),
});
export type Figures = z.infer<typeof figures>;

const FIGURES_SUFFIX = ".figures.json";

/** Folder whose files come out with the results; undefined where nobody asked for any. */
export const resultsFolder = (): string | undefined => process.env.SALLYPORT_TEST_RESULTS;

/** `name` is the test's own. */
export const keepFigures = async (name: string, some: Partial<Figures>): Promise<void> => {
  const folder = resultsFolder();
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${name}${FIGURES_SUFFIX}`), JSON.stringify(some));
};

export const isFigures = (fileName: string): boolean => fileName.endsWith(FIGURES_SUFFIX);
