/**
 * What every npm script starts: `node scripts/bootstrap.mjs <command> [arguments]`. Does all of the command's own set-up
 * (system packages, npm packages, bundles) and goes on under the pinned Node.
 */
import { ensureReady, goOn, refuseWithoutRoot, reportAndExit } from "./prepare.mjs";
import { Refusal } from "./refusal.mjs";
import { ensureSystemPackages } from "./system-packages.mjs";

/**
 * @typedef {object} Command
 * @property {string[]} argv script below the package's root, with its first arguments
 * @property {boolean} [asRoot] whether it makes bridges and TAPs
 * @property {(args: string[]) => import("../src/lib/host-packages.mjs").Purpose[]} [needs] what the machine must have for it
 * @property {boolean} [isUnattended] whether nobody is there to be asked, when there is no terminal
 */

/** @type {import("../src/lib/host-packages.mjs").Purpose[]} */
const MICROVMS = ["vmm", "jail", "microvm", "image", "debian"];

/** @type {import("../src/lib/host-packages.mjs").Purpose[]} */
const A_WHOLE_SIGN_IN = [...MICROVMS, "provider"];

/** @type {Record<string, Command>} */
const COMMANDS = {
  build: { argv: [] },
  check: { argv: ["scripts/check.mjs"] },
  "test:unit": { argv: ["scripts/test.mjs", "unit"] },
  test: { argv: ["scripts/test.mjs"], asRoot: true, needs: () => [...A_WHOLE_SIGN_IN, "person"], isUnattended: true },
  "test:firecracker": {
    argv: ["scripts/firecracker.mjs"],
    asRoot: true,
    needs: () => [...A_WHOLE_SIGN_IN, "person"],
    isUnattended: true,
  },
  faults: { argv: ["scripts/faults.mjs"], asRoot: true, needs: () => MICROVMS, isUnattended: true },
  bench: { argv: ["scripts/bench.mjs"], asRoot: true, needs: () => MICROVMS, isUnattended: true },
  demo: {
    argv: ["rig/main.ts"],
    asRoot: true,
    needs: (args) => (args.includes("--auto") ? [...A_WHOLE_SIGN_IN, "person"] : A_WHOLE_SIGN_IN),
  },
};

/**
 * @param {string} name
 * @param {string[]} args
 */
const bootstrap = async (name, args) => {
  const command = COMMANDS[name];
  if (!command) throw new Refusal(`There is no "${name}".`, `Known: ${Object.keys(COMMANDS).join(", ")}.`);
  const { argv, asRoot = false, needs, isUnattended = false } = command;
  if (asRoot) refuseWithoutRoot();
  if (needs) {
    const isAnswered = args.includes("--yes") || (isUnattended && (process.env.CI === "true" || !process.stdin.isTTY));
    await ensureSystemPackages({ purposes: needs(args), isAnswered });
  }
  await ensureReady();
  if (argv.length === 0) return 0;
  // `--yes` answered the question above; the command itself asks nothing.
  return goOn([...argv, ...args.filter((arg) => arg !== "--yes")], { asRoot });
};

const [name = "", ...args] = process.argv.slice(2);
try {
  process.exitCode = await bootstrap(name, args);
} catch (error) {
  reportAndExit(error);
  if (name === "demo" && args.includes("--json")) {
    const hint = error instanceof Refusal ? error.hint : "The lines on standard error say more.";
    const sentence = error instanceof Error ? error.message : String(error);
    console.log(JSON.stringify({ ok: false, verdict: { code: "set-up-failed", sentence, hint } }));
  }
}
