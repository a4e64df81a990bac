import { cp, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../src/lib/errors.ts";
import { run } from "../../src/lib/exec.ts";

const FIXTURE = new URL("../fixtures/wrangler/", import.meta.url).pathname;
const INSTALL_TIMEOUT_MS = 4 * 60_000;

/** Path of the real tool's entry, installed by `npm ci` from the pinned lock file unless that was done before. */
export const installWrangler = async (cacheDir: string): Promise<string> => {
  const folder = join(cacheDir, "wrangler");
  const installed = join(folder, "installed-lock.json");
  const lock = await readFile(join(FIXTURE, "package-lock.json"), "utf8");
  if ((await readIfThere(installed)) !== lock) {
    await mkdir(folder, { recursive: true });
    for (const file of ["package.json", "package-lock.json"]) await cp(join(FIXTURE, file), join(folder, file));
    // Of its packages only the workers' runtime needs an install script, and signing in does not need that.
    const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    await run("npm", args, { cwd: folder, timeoutMs: INSTALL_TIMEOUT_MS });
    await cp(join(FIXTURE, "package-lock.json"), installed);
  }
  return join(folder, "node_modules", "wrangler", "bin", "wrangler.js");
};

const readIfThere = async (file: string): Promise<string | undefined> => {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
};
