/** Entry of the program: process-wide things (arguments, signals, exit code) are here and nowhere else. */
import { runCli } from "./cli/cli.ts";
import { readEnv } from "./config/env.ts";

const interrupt = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  // Once: the second one ends the program at once, as if nobody listened.
  process.once(signal, () => interrupt.abort(new DOMException(`Stopped by ${signal}.`, "AbortError")));
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // `sallyport … | head` has seen enough: that is no failure.
  if (error.code !== "EPIPE") throw error;
});

process.exitCode = await runCli(process.argv.slice(2), {
  env: readEnv(),
  signal: interrupt.signal,
  stdout: process.stdout,
  stderr: process.stderr,
  isTerminal: process.stdin.isTTY,
});
