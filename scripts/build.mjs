/** Bundles the programs into dist/: controller and command line, what starts programs for it, guest agent, viewer page. Skipped while up to date. */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Refusal } from "./refusal.mjs";
import { ROOT, say } from "./run.mjs";

const STAMP = "dist/.inputs";
const INPUT_FOLDERS = ["src", "web"];
const INPUT_FILES = ["package.json", "package-lock.json", "scripts/build.mjs"];
const COPIED = ["viewer.html", "viewer.css"];

/** @type {(import("esbuild").BuildOptions & { outfile: string })[]} */
const BUNDLES = [
  {
    entryPoints: ["src/main.ts"],
    outfile: "dist/main.js",
    platform: "node",
    format: "esm",
    target: "node24",
    packages: "external",
    sourcemap: "linked",
  },
  {
    entryPoints: ["src/lib/spawner-main.ts"],
    outfile: "dist/spawner.js",
    platform: "node",
    format: "esm",
    target: "node24",
    packages: "external",
  },
  {
    // Debian 13's own Node runs it; one file, because the guest has no node_modules.
    entryPoints: ["src/guest/main.ts"],
    outfile: "dist/agent.cjs",
    platform: "node",
    format: "cjs",
    target: "node20",
  },
  {
    entryPoints: ["web/viewer.ts"],
    outfile: "dist/web/viewer.js",
    platform: "browser",
    format: "esm",
    // noVNC awaits at the top level.
    target: "es2022",
    minify: true,
    banner: { js: "/* Contains noVNC (MPL-2.0): its source is the npm package @novnc/novnc. */" },
  },
];

/** Writes dist/ anew when an input has changed. Throws Refusal when the sources cannot be bundled. */
export const build = async () => {
  const inputs = await digestOfInputs();
  if ((await readIfThere(STAMP)) === inputs) return;
  const startedAt = performance.now();
  const esbuild = await import("esbuild");
  const results = await Promise.all(BUNDLES.map((options) => bundle(esbuild, options)));
  for (const { outputFiles } of results) {
    for (const file of outputFiles ?? []) await replace(file.path, file.contents);
  }
  for (const name of COPIED) await replace(join(ROOT, "dist/web", name), await readFile(join(ROOT, "web", name)));
  await replace(join(ROOT, STAMP), inputs);
  say(`Built dist/ in ${Math.round(performance.now() - startedAt)} ms.`);
};

/**
 * esbuild says itself, with the lines, what is wrong.
 * @param {typeof import("esbuild")} esbuild
 * @param {import("esbuild").BuildOptions} options
 */
const bundle = async (esbuild, options) => {
  try {
    return await esbuild.build({ absWorkingDir: ROOT, bundle: true, write: false, logLevel: "error", ...options });
  } catch {
    throw new Refusal(
      `${options.outfile} cannot be built from these sources.`,
      "The lines above name what does not fit.",
    );
  }
};

/** Names and contents of everything that a bundle can be made of. */
const digestOfInputs = async () => {
  const hash = createHash("sha256");
  const listed = await Promise.all(INPUT_FOLDERS.map(filesBelow));
  for (const path of [...listed.flat().sort(), ...INPUT_FILES]) {
    hash
      .update(`${path}\0`)
      .update(await readFile(join(ROOT, path)))
      .update("\0");
  }
  return hash.digest("hex");
};

/**
 * @param {string} folder
 * @returns {Promise<string[]>}
 */
const filesBelow = async (folder) => {
  const entries = await readdir(join(ROOT, folder), { withFileTypes: true });
  const nested = entries.map(async (entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() && !path.endsWith(".test.ts") ? [path] : [];
  });
  return (await Promise.all(nested)).flat();
};

/**
 * Whole or not at all: a controller may be reading the file that is replaced.
 * @param {string} path
 * @param {string | Uint8Array} contents
 */
const replace = async (path, contents) => {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, contents);
  await rename(temporary, path);
};

/** @param {string} path */
const readIfThere = (path) => readFile(join(ROOT, path), "utf8").catch(() => undefined); // Unreadable: build anew.

if (process.argv[1] === join(ROOT, "scripts/build.mjs")) await build();
