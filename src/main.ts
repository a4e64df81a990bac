/** Entry of the program: process-wide things (arguments, signals, exit code) are here and nowhere else. */
import { setImmediate } from "node:timers/promises";
import { runCli } from "./cli/cli.ts";
import { readEnv } from "./config/env.ts";

const interrupt = new AbortController();
const stopBy = (signal: string) => () => interrupt.abort(new DOMException(`Stopped by ${signal}.`, "AbortError"));
// Once: the second one ends the program at once, as if nobody listened.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stopBy(signal));
// A terminal that hangs up may say so twice, itself and by its shell.
process.on("SIGHUP", stopBy("SIGHUP"));

let exitCodeOfLoss: number | undefined;
for (const [name, stream, other] of [
  ["output", process.stdout, process.stderr],
  ["error", process.stderr, process.stdout],
] as const) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // `sallyport … | head` has seen enough: that is no failure. Nor is it one more when it is ending.
    if (error.code === "EPIPE" || interrupt.signal.aborted) return;
    exitCodeOfLoss = 6;
    other.write(`What is said on standard ${name} is lost, so this stops: ${error.message}.\n`);
    other.write("What to do: free space on that disk, or send it somewhere else, then run this again.\n");
    interrupt.abort(error);
  });
}

const exitCode = await runCli(process.argv.slice(2), {
  env: readEnv(),
  signal: interrupt.signal,
  stdout: process.stdout,
  stderr: process.stderr,
  isTerminal: process.stdin.isTTY,
});
// The last line's loss is told after it.
await setImmediate();
process.exitCode = exitCodeOfLoss ?? exitCode;

// What was given up on a stop, such as a command that hangs, must not keep the program.
if (interrupt.signal.aborted) process.exit();
