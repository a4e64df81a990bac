import { Option, type Command } from "commander";
import { createClient } from "../../client/client.ts";
import { scope, type Scope } from "../../contract/api.ts";
import { writeFileAtomically } from "../../lib/atomic-file.ts";
import { AppError, errnoOf, messageOf } from "../../lib/errors.ts";
import { newApiKey } from "../../lib/id.ts";
import { dataPaths } from "../../lib/paths.ts";
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
    .command("admin")
    .description("the local operator's own key; needs no key, but the rights to the data directory (root)")
    .requiredOption("--new", "make it anew, where it was revoked, lost or seen by somebody; the old one ends")
    .action(() => renewAdmin(context));
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

/** The controller believes the file; a running one is asked something, so that the old key ends at once. */
const renewAdmin = async (context: CliContext): Promise<void> => {
  const { out, signal } = context;
  const { dataDir, socket } = context.config();
  const { adminKey: file } = dataPaths(dataDir);
  const key = newApiKey();
  try {
    writeFileAtomically(file, `${key}\n`);
  } catch (cause) {
    const hint =
      errnoOf(cause) === "ENOENT"
        ? `No controller has run with this configuration: ${dataDir} is not there. sudo sallyport up makes it, and the key.`
        : "Run this as root (sudo) on the controller's machine, and with its configuration (--config) if it has one.";
    const sentence = `The key cannot be written: ${messageOf(cause)}.`;
    throw new AppError("forbidden", "admin-key-unwritable", sentence, { hint, cause });
  }
  const tell = (isInUse: boolean, when: string): void =>
    out.result({ file, isInUse }, () => `${file} holds a new key, which counts ${when}`);
  const client = createClient({ url: `unix:${socket}`, key, signal });
  try {
    await client.keys();
    tell(true, "from now on; the old one is revoked.");
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "controller-unreachable") throw error;
    tell(false, "when the controller runs again.");
  } finally {
    await client.close();
  }
};
