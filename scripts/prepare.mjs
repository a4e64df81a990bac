/**
 * From a clean clone to something that runs: packages, pinned Node, bundles. Plain JavaScript without dependencies, because
 * it runs before there are any, on whatever Node (18 or newer) the machine has.
 */
import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, lstatSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { Refusal } from "./refusal.mjs";
import { exitCodeOf, mustRun, ROOT, say } from "./run.mjs";

const PINNED_NODE = join(ROOT, "node_modules", ".bin", "node");

/** Packages installed and bundles built, if they are not. A published package has no lock file and comes built. */
export const ensureReady = async () => {
  if (!existsSync(join(ROOT, "package-lock.json"))) return;
  try {
    await ensurePackages();
    const { build } = await import("./build.mjs");
    await build();
  } catch (error) {
    throw isUnwritable(error) ? notBuilt(error) : error;
  }
};

/** @param {unknown} error */
const isUnwritable = (error) =>
  error instanceof Error && "code" in error && ["EACCES", "EPERM", "EROFS"].includes(String(error.code));

/**
 * What another user than its owner is told of a checkout that was changed.
 * @param {unknown} cause
 */
const notBuilt = (cause) =>
  new Refusal(
    `This checkout was installed or changed and not built since, and you may not write there: ${cause instanceof Error ? cause.message : String(cause)}.`,
    "Its owner runs any command once, e.g. sudo sallyport --help; then it works for everybody.",
  );

/** `npm ci`, unless node_modules is already what the lock file says. */
export const ensurePackages = async () => {
  if (isInstalled(readPackages("package-lock.json"), readPackages("node_modules/.package-lock.json"))) return;
  refuseLinked(join(ROOT, "node_modules"));
  accessSync(ROOT, constants.W_OK);
  say("Installing the npm packages of the lock file…");
  // No package here needs its install script; none gets to run one (docs/adr/0002-pinned-node.md).
  await mustRun("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
    // npm must not run on the very Node that it is about to replace.
    env: { ...process.env, PATH: pathWithout(join(ROOT, "node_modules", ".bin")) },
    hint: "Is the npm registry of this machine reachable (npm ping)? The lines above say more.",
  });
};

/**
 * `npm ci` empties the folder first, and through a link that is somebody else's. Throws Refusal.
 * @param {string} folder
 */
export const refuseLinked = (folder) => {
  if (!lstatSync(folder, { throwIfNoEntry: false })?.isSymbolicLink()) return;
  throw new Refusal(
    `${folder} is a link, and what it leads to does not match the lock file: installing would empty that folder.`,
    "Remove the link, or bring the packages where it leads to up to date, and try again.",
  );
};

/**
 * Whether the packages npm last installed are those of the lock file. npm writes its hidden lock file after everything
 * else, so an interrupted installation has none.
 * @param {Record<string, LockedPackage> | undefined} wanted
 * @param {Record<string, LockedPackage> | undefined} installed
 */
export const isInstalled = (wanted, installed) =>
  wanted !== undefined &&
  installed !== undefined &&
  Object.entries(wanted).every(([path, { version, optional }]) => {
    const found = installed[path];
    return path === "" || (found ? found.version === version : optional === true);
  });

/** @typedef {{ version?: string, optional?: boolean }} LockedPackage */

/**
 * @param {string} lockFile
 * @returns {Record<string, LockedPackage> | undefined}
 */
const readPackages = (lockFile) => {
  const path = join(ROOT, lockFile);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).packages : undefined;
};

/** @param {string} folder */
const pathWithout = (folder) =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .filter((entry) => entry !== folder)
    .join(delimiter);

/**
 * Runs a script of ours under the pinned Node, terminal and signals handed through, and answers its exit code.
 * @param {string[]} argv path below the package's root, then arguments
 * @param {{ asRoot?: boolean }} [options]
 */
export const goOn = async ([script = "", ...args], { asRoot = false } = {}) => {
  const node = pinnedNode();
  const command = [node, "--disable-warning=ExperimentalWarning", join(ROOT, script), ...args];
  const [file = node, ...rest] = asRoot && !isRoot() ? throughSudo(command) : command;
  const child = spawn(file, rest, { stdio: "inherit" });
  // A terminal sends Ctrl-C to the child as well: a second SIGINT from here would count as impatience.
  process.on("SIGINT", () => {});
  for (const signal of /** @type {const} */ (["SIGTERM", "SIGHUP"])) process.on(signal, () => child.kill(signal));
  return exitCodeOf(child);
};

/** The Node of the lock file; in an installed package without it, the one we run on. */
const pinnedNode = () => {
  if (existsSync(PINNED_NODE)) return PINNED_NODE;
  if (Number(process.versions.node.split(".")[0]) >= 24) return process.execPath;
  throw new Refusal(
    `Sallyport needs Node 24 and brings its own for Linux on x64 and arm64; this is ${process.platform} on ${process.arch} with Node ${process.versions.node}.`,
    "Install Node 24 and try again.",
  );
};

/** Throws Refusal when we are not root and cannot become it. */
export const refuseWithoutRoot = () => {
  if (isRoot() || spawnSync("sudo", ["-V"], { stdio: "ignore" }).error === undefined) return;
  throw new Refusal(
    "Bridge, TAP and firewall need root, and this machine has no sudo to become it.",
    "Run the same command as root.",
  );
};

const isRoot = () => process.getuid?.() === 0;

/**
 * sudo resets the environment; what is ours, and what a terminal and a CI say about themselves, is kept by name: a value on a
 * command line could be read by every user of the machine. Only PATH, which sudo replaces whatever it is told, is given again.
 * @param {string[]} command
 */
const throughSudo = (command) => {
  say("Bridge, TAP and firewall need root: going on through sudo.");
  const kept = Object.keys(process.env).filter((name) => /^(SALLYPORT_.*|CI|TERM|NO_COLOR|FORCE_COLOR)$/.test(name));
  return ["sudo", `--preserve-env=${kept.join(",")}`, "--", "env", `PATH=${process.env.PATH ?? ""}`, ...command];
};

/**
 * Last words of a script: the sentence and what to do; a stack only for what nobody foresaw.
 * @param {unknown} error
 */
export const reportAndExit = (error) => {
  const isForeseen = error instanceof Refusal || (error instanceof Error && error.name === "AppError");
  if (isForeseen)
    say(["", error.message, "hint" in error ? error.hint : undefined].filter((line) => line !== undefined).join("\n"));
  else console.error(error);
  process.exitCode = 1;
};
