import type { Command } from "commander";
import type { CliContext } from "../context.ts";
import { localProviders } from "../find-recipe.ts";
import { table } from "../output.ts";

export const addProviders = (program: Command, context: CliContext): void => {
  program
    .command("providers")
    .description("list what can be signed in to, and what is better where it works")
    .action(async () => {
      const known = await context.client().providers();
      const local = localProviders(context);
      const list = known.map((recipe) => ({
        ...recipe,
        isUsableHere: recipe.mode === "oidc" || local.has(recipe.name),
      }));
      context.out.result(list, () => [
        ...table(
          ["PROVIDER", "MODE", "HERE", "TITLE"],
          list.map(({ name, mode, title, isUsableHere }) => [name, mode, isUsableHere ? "yes" : "no recipe", title]),
        ),
        "",
        "What is better, where it works:",
        ...list.flatMap(({ name, betterWithout }) => (betterWithout ? [`  ${name}: ${betterWithout}`] : [])),
      ]);
    });
};
