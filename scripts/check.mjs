/** `npm run check`: everything that needs neither a guest nor root. The same steps open `npm test`. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { exitCodeOf, ROOT } from "./run.mjs";

/** @typedef {{ name: string, tool: string, args: string[] }} Check */

/** @type {Check[]} */
export const CHECKS = [
  { name: "types", tool: "tsc", args: ["--project", "tsconfig.json"] },
  // The guest runs the distribution's Node, which is older: what it lacks would be met in a running guest.
  { name: "types of the guest's agent", tool: "tsc", args: ["--project", "src/guest/tsconfig.json"] },
  { name: "types of the page", tool: "tsc", args: ["--project", "web/tsconfig.json"] },
  { name: "lint", tool: "oxlint", args: ["--type-aware", "--deny-warnings"] },
  { name: "format (npm run fmt mends it)", tool: "oxfmt", args: ["--check"] },
];

/** @type {Check} */
const BOUNDARIES = {
  name: "boundaries and comments",
  tool: "vitest",
  args: ["run", "--project", "unit", "test/boundaries.test.ts", "test/comments.test.ts"],
};

/**
 * Runs one, shows its output only when it fails, and answers whether it passed.
 * @param {Check} check
 */
export const passes = async ({ name, tool, args }) => {
  const startedAt = performance.now();
  const child = spawn(join(ROOT, "node_modules/.bin", tool), args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += chunk));
  child.stderr.on("data", (chunk) => (output += chunk));
  const hasPassed = (await exitCodeOf(child)) === 0;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${hasPassed ? "ok    " : "FAILED"}  ${name}  ${seconds} s`);
  if (!hasPassed) console.log(output.trimEnd());
  return hasPassed;
};

if (process.argv[1] === join(ROOT, "scripts/check.mjs")) {
  for (const check of [...CHECKS, BOUNDARIES]) {
    if (!(await passes(check))) process.exitCode = 1;
  }
}
