import type { Command } from "commander";
import type { CliContext } from "../context.ts";

export const addDemo = (program: Command, context: CliContext): void => {
  program
    .command("demo")
    .description("one whole sign-in with an identity provider of its own on this machine")
    // It reads its own options.
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async () => {
      const { runDemo } = await import("../../demo/main.ts");
      const { argv, signal, stdout, stderr } = context;
      context.exitCode = await runDemo(argv.slice(argv.indexOf("demo") + 1), { signal, stdout, stderr });
    });
};
