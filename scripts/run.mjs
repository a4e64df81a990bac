import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { Refusal } from "./refusal.mjs";

/** Root of the clone or the installed package. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/**
 * Progress and questions: always on standard error, so that standard output stays what was asked for.
 * @param {string} text
 */
export const say = (text) => {
  process.stderr.write(`${text}\n`);
};

/**
 * Runs a program to its end with its output on our standard error. Throws Refusal when it cannot be started or fails.
 * @param {string} file
 * @param {string[]} args
 * @param {{ env?: Record<string, string | undefined>, hint: string }} options
 */
export const mustRun = async (file, args, { env, hint }) => {
  const code = await exitCodeOf(spawn(file, args, { cwd: ROOT, env: env ?? process.env, stdio: ["ignore", 2, 2] }));
  if (code !== 0) throw new Refusal(`${file} ${args.join(" ")} ended with code ${code}.`, hint);
};

/**
 * Exit code of a started program; 128 + n after signal n, as shells count. Throws Refusal when it is not installed.
 * @param {import("node:child_process").ChildProcess} child
 * @returns {Promise<number>}
 */
export const exitCodeOf = (child) =>
  new Promise((resolve, reject) => {
    child.on("error", (error) => {
      reject(new Refusal(`${child.spawnfile} cannot be started: ${error.message}`, "Install it, then try again."));
    });
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 1 : signalNumber(signal))));
  });

/** @param {NodeJS.Signals} signal */
const signalNumber = (signal) => constants.signals[signal];
