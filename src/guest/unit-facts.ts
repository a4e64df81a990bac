/** The units that this guest is made of, as systemd sees them. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { GuestUnits } from "../contract/diagnosis.ts";
import type { run } from "../lib/exec.ts";
import { msUntil } from "../lib/wait.ts";
import { partsInto } from "./facts.ts";
import { valueOf } from "./kernel-facts.ts";

/** As long as a host that is in no hurry waits (microvm/examine.ts). */
const TIMEOUT_MS = 9000;

const OWN_UNITS = [
  "sallyport-agent.service",
  "sallyport-bus.service",
  "sallyport-display.service",
  "sallyport-window-manager.service",
  "sallyport-browser.service",
  "systemd-networkd.service",
  "systemd-network-generator.service",
];

const PROPERTIES =
  "Id,FragmentPath,LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,NRestarts,StandardOutput";
const MAX_UNITS = 64;

export const unitFacts = async (options: { root: string; runProgram: typeof run }): Promise<GuestUnits> => {
  const { root, runProgram } = options;
  const missing: string[] = [];
  const part = partsInto(missing);
  const deadline = performance.now() + TIMEOUT_MS;
  const systemctl = async (...args: string[]): Promise<string> =>
    (await runProgram("systemctl", args, { timeoutMs: msUntil(deadline) })).stdout;
  const [shown, failed] = await Promise.all([
    part("units", [], () => units(root, systemctl)),
    part("failed units", [], () => failedUnits(systemctl)),
  ]);
  return { units: shown, failedUnits: failed, missing };
};

type Systemctl = (...args: string[]) => Promise<string>;

const units = async (root: string, systemctl: Systemctl): Promise<GuestUnits["units"]> => {
  const names = await unitNames(root);
  const shown = await systemctl("show", `--property=${PROPERTIES}`, ...names);
  return shown
    .split("\n\n")
    .filter((block) => /^Id=/m.test(block))
    .map((block) => {
      const text = (key: string): string => valueOf(block, key).slice(0, 512);
      const number = (key: string): number => Math.trunc(Number(valueOf(block, key))) || 0;
      return {
        name: text("Id"),
        file: text("FragmentPath"),
        load: text("LoadState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        fileState: text("UnitFileState"),
        result: text("Result"),
        exitStatus: number("ExecMainStatus"),
        restarts: number("NRestarts"),
        standardOutput: text("StandardOutput"),
      };
    });
};

const failedUnits = async (systemctl: Systemctl): Promise<string[]> => {
  const text = await systemctl("list-units", "--state=failed", "--plain", "--no-legend", "--no-pager");
  return text
    .split("\n")
    .map((line) => line.split(" ")[0] ?? "")
    .filter(Boolean)
    .slice(0, MAX_UNITS);
};

/** Our own, and every service that the image itself brings: a file below /etc, where a link would be an alias. */
const unitNames = async (root: string): Promise<string[]> => {
  const folder = join(root, "etc/systemd/system");
  const names = (await readdir(folder)).filter((name) => /^[a-zA-Z0-9:@_.-]+\.service$/.test(name));
  const isFile = await Promise.all(names.map(async (name) => (await lstat(join(folder, name))).isFile()));
  // A template without an instance is no unit.
  const brought = names.filter((name, i) => isFile[i] && !name.includes("@."));
  return [...new Set([...OWN_UNITS, ...brought])].slice(0, MAX_UNITS);
};
