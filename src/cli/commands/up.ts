import type { Command } from "commander";
import { createLogger } from "../../lib/logger.ts";
import type { CliContext } from "../context.ts";

export const addUp = (program: Command, context: CliContext): void => {
  program
    .command("up")
    .description("run the controller in the foreground; microVMs outlive it")
    .action(async () => {
      const config = context.config();
      // Loaded here: the other commands must not wait for a web server's code.
      const { runController } = await import("../../app.ts");
      await runController({
        config,
        logger: createLogger({ level: config.logLevel }),
        signal: context.signal,
        path: context.env.path,
        onListening: (address) => context.out.note(`Sallyport listens on ${address}. Ctrl-C stops it; microVMs go on.`),
      });
    });
};
