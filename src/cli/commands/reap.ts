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
        const removed = new Set(result.removed);
        return result.found.map((what) => `${removed.has(what) ? "removed" : "left over"}  ${what}`);
      });
    });
};
