/** Which Firecracker is on this host, and whether root may run it. */
import { realpath } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/exec.ts";
import { requireGuardedProgram } from "../../lib/guarded-path.ts";
import { findProgram, whyNotRun } from "../../lib/programs.ts";
import { oneLine } from "../../lib/terminal.ts";
import { compareVersions } from "../../lib/versions.mjs";
import { askProgram, VERSION_MS } from "../program.ts";
import { faultOfProgram } from "./elf.ts";

export const OLDEST = "1.12";
/** Of those whose requests and exit codes are known here. */
const NEWEST = "1.17";

/** Versions that would start, and then fail their users. */
const KNOWN_BAD: Readonly<Record<string, string>> = {
  "1.16.0": "its guest channel is dead after a restore, which 1.16.1 mends",
};

const GET_IT =
  "Take both programs of one release from the Firecracker project's own release page, make them root's (chown root:root, chmod 755), and put them into /usr/local/bin as firecracker and jailer, or name them in the configuration (vmm.firecracker, vmm.jailer).";

export interface BinaryOptions {
  /** Paths; undefined: searched for in `searchPath`. */
  firecracker?: string | undefined;
  jailer?: string | undefined;
  /** Folders joined by `:`. */
  searchPath: string;
  /** Milliseconds that each gets to say its version; default `VERSION_MS`. */
  versionMs?: number | undefined;
}

/** Both programs by the paths to run them by, which nobody but root can put anything else at; `version` is `a.b.c`, or `a.b.c-dev`. */
export interface Binaries {
  firecracker: string;
  jailer: string;
  version: string;
}

/**
 * Looks whose they are, and what, before it runs either. Throws AppError `vmm-missing`, `program-unguarded`, `vmm-too-old`, `vmm-known-bad`
 * or `vmm-mismatch`.
 */
export const findBinaries = async ({
  searchPath,
  versionMs = VERSION_MS,
  ...named
}: BinaryOptions): Promise<Binaries> => {
  const [firecracker, jailer] = await Promise.all([
    askProgram("firecracker", GET_IT, locate("firecracker", named.firecracker, searchPath)),
    askProgram("jailer", GET_IT, locate("jailer", named.jailer, searchPath)),
  ]);
  const [version, jailerVersion] = await Promise.all([
    askProgram("firecracker", GET_IT, versionOf("Firecracker", firecracker, versionMs)),
    askProgram("jailer", GET_IT, versionOf("Jailer", jailer, versionMs)),
  ]);
  requireSupported(version);
  if (jailerVersion === version) return { firecracker, jailer, version };
  const sentence = `Firecracker (${firecracker}) is ${version} and its jailer (${jailer}) is ${jailerVersion}: they work together only in one version.`;
  throw new AppError("unavailable", "vmm-mismatch", sentence, { hint: GET_IT });
};

const locate = async (name: string, configured: string | undefined, searchPath: string): Promise<string> => {
  const found = findProgram(configured ?? name, searchPath);
  if (found === undefined) {
    const fault = whyNotRun(configured ?? name, searchPath);
    const where = configured ?? "PATH, /usr/local/bin and the system's own folders";
    throw missing(fault === undefined ? `The program ${name} is not there (looked for in ${where}).` : `${fault}.`);
  }
  // The links on the way are of no account: what is checked is what is run.
  const path = await realpath(found);
  requireGuardedProgram(path);
  const fault = await faultOfProgram(path);
  if (fault === undefined) return path;
  throw missing(`${path} is not run: it ${fault}.`);
};

const versionOf = async (name: "Firecracker" | "Jailer", file: string, timeoutMs: number): Promise<string> => {
  const { stdout, stderr } = await run(file, ["--version"], { timeoutMs, env: {} });
  const version = versionIn(name, `${stdout}\n${stderr}`);
  if (version !== undefined) return version;
  const words = oneLine(`${stdout} ${stderr}`).slice(0, 80);
  throw missing(`${file} is no ${name}: asked for its version it says ${words === "" ? "nothing" : `"${words}"`}.`);
};

const missing = (sentence: string): AppError => new AppError("unavailable", "vmm-missing", sentence, { hint: GET_IT });

/** In the output of `--version`, on whichever line, with what marks it as no release, as in `1.17.0-dev`. Pure. */
export const versionIn = (name: string, output: string): string | undefined => {
  const found = new RegExp(`^${name} v(\\d+\\.\\d+)(\\.\\d+)?([-+][\\w.+-]{1,40})?(?!\\S)`, "m").exec(output);
  return found ? `${found[1]}${found[2] ?? ".0"}${found[3] ?? ""}` : undefined;
};

/** What is to be said of a version that is newer than all that is known here; empty of others. Pure. */
export const untried = (version: string): string =>
  compareVersions(version.replace(/^(\d+\.\d+).*/, "$1"), NEWEST) > 0
    ? ` Sallyport knows Firecracker ${OLDEST} to ${NEWEST} and was not tried with one as new.`
    : "";

/** Throws AppError `vmm-too-old` or `vmm-known-bad`. Pure. */
export const requireSupported = (version: string): void => {
  if (compareVersions(version, OLDEST) < 0) {
    const sentence = `Firecracker ${version} is too old: ${OLDEST} or newer is needed.`;
    throw new AppError("unavailable", "vmm-too-old", sentence, { hint: GET_IT });
  }
  const fault = KNOWN_BAD[version.replace(/[-+].*/, "")];
  if (fault === undefined) return;
  const sentence = `Firecracker ${version} is not used: ${fault}.`;
  throw new AppError("unavailable", "vmm-known-bad", sentence, { hint: GET_IT });
};
