/** The network programs that the host must have, run with errors a person can act on. */
import { AppError } from "../lib/errors.ts";
import { run, type RunOptions, type RunResult } from "../lib/exec.ts";

/** Program → Debian package. */
const PACKAGES = { ip: "iproute2", bridge: "iproute2", nft: "nftables", dnsmasq: "dnsmasq-base" } as const;
type NetworkTool = keyof typeof PACKAGES;

/** Until a program is given up, where nobody says otherwise. */
export const TIMEOUT_MS = 10_000;

/** Throws AppError `command-missing` with the package to install, `needs-root`, or whatever `run` throws. */
export const runTool = async (tool: NetworkTool, args: string[], options: RunOptions = {}): Promise<RunResult> => {
  try {
    return await run(tool, args, { timeoutMs: TIMEOUT_MS, ...options });
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === "command-missing") throw missingTool(tool, error);
    if (/Operation not permitted|Permission denied/.test(error.message)) throw needsRoot(`use ${tool}`, error);
    throw error;
  }
};

/** `otherwise` where the program that `work` runs fails with these words. */
export const unlessSaid = <T, U>(words: RegExp, work: Promise<T>, otherwise: U): Promise<T | U> =>
  work.catch((error: unknown) => {
    if (error instanceof AppError && words.test(error.message)) return otherwise;
    throw error;
  });

/** `bridge-taken`, `table-taken`. `owner`: as the thing says it. */
export const ofAnother = (kind: "bridge" | "table", what: string, owner: string): AppError =>
  new AppError("conflict", `${kind}-taken`, `${what} belongs to another controller (${owner}).`, {
    hint: "Each controller on a host needs a bridge, a range, a table and users of its own. Set others for this one in its configuration: network.bridge, network.cidr, network.table and vm.uidBase.",
  });

export const missingTool = (tool: NetworkTool, cause?: unknown): AppError =>
  new AppError("unavailable", "command-missing", `The program ${tool} is not installed, and guests need it.`, {
    hint: `Install it: apt install ${PACKAGES[tool]}`,
    cause,
  });

export const needsRoot = (what: string, cause?: unknown): AppError =>
  new AppError("forbidden", "needs-root", `This process may not ${what}.`, {
    hint: "Run the controller as root: it makes network interfaces and firewall rules, and starts VMMs as other users.",
    cause,
  });
