import type { Command } from "commander";
import type { CliContext } from "../context.ts";

export const addReap = (program: Command, context: CliContext): void => {
  program
    .command("reap")
    .description("remove what belongs to no session any more")
    .option("--dry-run", "only say what would be removed")
    .action(async (options: { dryRun?: boolean }) => {
      const result = await context.client().reap({ dryRun: options.dryRun === true });
      context.out.result(result, () => {
        if (result.found.length === 0) return "Nothing is left over.";
        if (options.dryRun === true) return result.found.map((what) => `left over  ${what}`);
        return [
          ...result.removed.map((what) => `removed  ${what}`),
          ...result.failed.map((why) => `left over, could not be removed  ${why}`),
        ];
      });
      if (result.failed.length > 0) context.exitCode = 6;
    });
};
