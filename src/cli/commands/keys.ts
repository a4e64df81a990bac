import { Option, type Command } from "commander";
import { scope, type Scope } from "../../contract/api.ts";
import type { CliContext } from "../context.ts";
import { table } from "../output.ts";

export const addKeys = (program: Command, context: CliContext): void => {
  const keys = program.command("keys").description("API keys: who may start sign-ins and who may operate");
  keys
    .command("add <user>")
    .description("make a key; it is shown once")
    .addOption(new Option("--scope <scope...>", "what it may do").choices(scope.options).default(["login"]))
    .option("--label <text>", "what it is for")
    .action(async (userId: string, options: { scope: Scope[]; label?: string }) => {
      const label = options.label === undefined ? {} : { label: options.label };
      const created = await context.client().createKey({ userId, scopes: options.scope, ...label });
      context.out.result(created, () => [
        created.key,
        `Shown this once. Key ${created.id} of ${created.userId} may: ${created.scopes.join(", ")}.`,
      ]);
    });
  keys
    .command("ls")
    .description("list keys")
    .action(async () => {
      const list = await context.client().keys();
      context.out.result(list, () =>
        table(
          ["KEY", "USER", "SCOPES", "LABEL", "CREATED", "REVOKED"],
          list.map((key) => [key.id, key.userId, key.scopes.join(","), key.label, key.createdAt, key.revokedAt ?? "-"]),
        ),
      );
    });
  keys
    .command("revoke <key>")
    .description("make a key useless at once")
    .action(async (keyId: string) => {
      await context.client().revokeKey(keyId);
      context.out.result({ id: keyId, revoked: true }, () => `Key ${keyId} is revoked.`);
    });
};
