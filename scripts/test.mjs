/** `npm test`: checks, then every kind of test in order of cost, and one line with the sum at the end. Arguments name kinds. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHECKS, passes } from "./check.mjs";
import { SHORT_FILES, testFirecracker } from "./firecracker.mjs";
import { exitCodeOf, ROOT } from "./run.mjs";
import { addUp, exitCodeFor, failed, linesOf, tallyOf } from "./tally.mjs";

/** Runs where KVM works, which may be another machine. */
const FIRECRACKER = "firecracker";

/** Cheap first. Each runs alone: guests boot in the later ones and two of them would starve each other. */
const PROJECTS = ["unit", "integration", "conformance", "boot", "e2e", "faults", FIRECRACKER];

/** For the whole of it; what is left when one kind begins is its deadline. */
const BUDGET_MS = 80 * 60_000;

/** @param {string[]} wanted names of kinds; empty: all, and the checks */
const testAll = async (wanted) => {
  const endsAt = performance.now() + BUDGET_MS;
  const tallies = [];
  if (wanted.length === 0) {
    for (const check of CHECKS) tallies.push(await tallyOfCheck(check));
  }
  for (const project of PROJECTS) {
    if (wanted.length > 0 && !wanted.includes(project)) continue;
    console.log(`\n── ${project} ${"─".repeat(60 - project.length)}`);
    const timeoutMs = endsAt - performance.now();
    tallies.push(await (project === FIRECRACKER ? tallyOfFirecracker(timeoutMs) : tallyOfProject(project, timeoutMs)));
  }

  const sum = addUp(tallies);
  console.log(linesOf(sum).trimEnd());
  return exitCodeFor(sum);
};

/**
 * @param {import("./check.mjs").Check} check
 * @returns {Promise<import("./tally.mjs").Tally>}
 */
const tallyOfCheck = async (check) =>
  (await passes(check))
    ? { passed: 1, failed: 0, skipped: 0, failures: [] }
    : { passed: 0, failed: 1, skipped: 0, failures: [`check: ${check.name}`] };

/**
 * @param {string} project
 * @param {number} timeoutMs
 */
const tallyOfProject = async (project, timeoutMs) => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  const report = join(folder, "report.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const vitest = join(ROOT, "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", "--project", project, ...reporters], {
    cwd: ROOT,
    stdio: "inherit",
  });
  const timer = setTimeout(() => child.kill("SIGTERM"), Math.max(timeoutMs, 0));
  process.once("SIGTERM", () => child.kill("SIGTERM"));
  try {
    const exitCode = await exitCodeOf(child);
    return tallyOf(project, exitCode, readReport(report), ROOT);
  } finally {
    clearTimeout(timer);
    rmSync(folder, { recursive: true });
  }
};

/** @param {number} timeoutMs */
const tallyOfFirecracker = async (timeoutMs) => {
  const interrupt = new AbortController();
  process.once("SIGTERM", () => interrupt.abort(new Error("interrupted")));
  try {
    const options = { files: SHORT_FILES, timeoutMs, signal: interrupt.signal, out: process.stdout };
    return (await testFirecracker(options)).tally;
  } catch (error) {
    return failed(FIRECRACKER, error instanceof Error ? error.message : String(error));
  }
};

/** A run that was cut short leaves no report; the tally counts that as a failure. @param {string} path */
const readReport = (path) => {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
};

process.exitCode = await testAll(process.argv.slice(2));
