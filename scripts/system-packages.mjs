/** Programs from the distribution: says what is missing and why, asks, installs. Does nothing when nothing is missing. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { readAptSources, readOsRelease } from "../src/lib/apt-sources.mjs";
import { missingRequirements } from "../src/lib/host-packages.mjs";
import { planInstallation } from "./apt-plan.mjs";
import { Refusal } from "./refusal.mjs";
import { mustRun, say } from "./run.mjs";

// A fresh server is often busy with its own upgrades: wait for apt's lock instead of failing.
const APT_OPTIONS = ["--quiet", "--option", "DPkg::Lock::Timeout=180", "--option", "Dpkg::Use-Pty=0"];

/**
 * Throws Refusal when something is missing and may not or cannot be installed.
 * @param {{ purposes: import("../src/lib/host-packages.mjs").Purpose[], isAnswered: boolean }} options `isAnswered`: yes was said already
 */
export const ensureSystemPackages = async ({ purposes, isAnswered }) => {
  const missing = missingRequirements(purposes, thisMachine);
  if (missing.length === 0) return;

  const plan = planInstallation(missing, readOsRelease(), readAptSources());
  const commands = plan.calls.map((call) => asRoot(["apt-get", ...call]).join(" "));
  say("Sallyport needs from this machine's distribution:");
  for (const one of missing) say(`  ${one.package.padEnd(24)}${one.why}`);
  if (plan.source)
    say(
      `\nDebian 12 has some of it in its backports only. To be written: ${plan.source.path}\n${indent(plan.source.text)}`,
    );
  say(`\nTo be run:\n${indent(commands.join("\n"))}\n`);
  if (!isAnswered) await askOrRefuse();

  await install(plan);
  const stillMissing = missingRequirements(purposes, thisMachine);
  if (stillMissing.length > 0) {
    throw new Refusal(
      `Installed, and still not there or still too old: ${stillMissing.map((one) => one.package).join(", ")}.`,
      `Look at: apt-cache policy ${stillMissing.map((one) => one.package).join(" ")}`,
    );
  }
};

const askOrRefuse = async () => {
  const hint = "Run the commands above yourself, or say yes beforehand: npm run demo -- --yes";
  if (!process.stdin.isTTY) throw new Refusal("Nobody is here to be asked, so nothing was installed.", hint);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question("Install it now? [y/N] ");
    if (!/^y(es)?$/i.test(answer.trim())) throw new Refusal("Nothing was installed.", hint);
  } finally {
    terminal.close();
  }
};

/** @param {import("./apt-plan.mjs").AptPlan} plan */
const install = async ({ source, calls }) => {
  if (source) {
    const draft = join(mkdtempSync(join(tmpdir(), "sallyport-apt-")), "backports.sources");
    writeFileSync(draft, source.text);
    await mustRunAsRoot(["install", "--mode=0644", draft, source.path], "Writing below /etc/apt needs root or sudo.");
  }
  for (const call of calls) {
    await mustRunAsRoot(
      ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", ...APT_OPTIONS, ...call],
      "apt's own lines above say why.",
    );
  }
};

/**
 * @param {string[]} command
 * @param {string} hint
 */
const mustRunAsRoot = (command, hint) => {
  const [file = "", ...args] = asRoot(command);
  return mustRun(file, args, { hint });
};

/** @param {string[]} command */
const asRoot = (command) => (process.getuid?.() === 0 ? command : ["sudo", "--", ...command]);

/** @type {import("../src/lib/host-packages.mjs").Probe} */
const thisMachine = {
  // A user's PATH on Debian leaves out the sbin folders, where half of these live.
  find: (program) =>
    [...(process.env.PATH ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"]
      .map((folder) => (program.includes("/") ? program : join(folder, program)))
      .find((path) => existsSync(path)),
  exists: existsSync,
  version: (program) => spawnSync(program, ["--version"], { encoding: "utf8", timeout: 10_000 }).stdout ?? "",
};

/** @param {string} text */
const indent = (text) => text.trimEnd().replace(/^/gm, "  ");
