import type { Command } from "commander";
import type { ProviderRecipe } from "../../contract/provider.ts";
import { AppError } from "../../lib/errors.ts";
import { login, type LoginResult } from "../../login/login.ts";
import { checkTokenFile, writeTokenFile } from "../../login/token-file.ts";
import type { CliContext } from "../context.ts";
import { findRecipe } from "../find-recipe.ts";
import { showLogin } from "../show-login.ts";

interface LoginCommandOptions {
  recipe?: string;
  user?: string;
  tokenFile?: string;
  printTokens?: boolean;
}

export const addLogin = (program: Command, context: CliContext): void => {
  program
    .command("login <provider>")
    .description("sign a tool in through a browser in a microVM")
    .option("--recipe <file>", "use this recipe on this machine instead of the shipped one")
    .option("--user <id>", "whose sign-in it is, for keys with scope act-as")
    .option("--token-file <file>", "oidc: store the tokens there (0600)")
    .option("--print-tokens", "oidc: print the tokens")
    .action((provider: string, options: LoginCommandOptions) => runLogin(provider, options, context));
};

const runLogin = async (provider: string, options: LoginCommandOptions, context: CliContext): Promise<void> => {
  if (options.tokenFile !== undefined) await checkTokenFile(options.tokenFile);
  const client = context.client({ outlivesInterrupt: true });
  const recipe = await findRecipe({ provider, file: options.recipe, client, context });
  refuseUselessOptions(recipe, options);
  const result = await login({
    client,
    recipe,
    publicUrl: context.publicUrl(),
    userId: options.user,
    // The tool is not to know the key to the controller.
    env: Object.fromEntries(Object.entries(context.env.all).filter(([name]) => !name.startsWith("SALLYPORT_"))),
    isInteractive: context.isTerminal && !context.isJson(),
    onEvent: showLogin(recipe, context),
    signal: context.signal,
  });
  const { account, credential, tokens, timings, receipt } = result;
  if (options.tokenFile !== undefined && account && tokens) await writeTokenFile(options.tokenFile, account, tokens);
  const printed = options.printTokens ? { tokens } : {};
  if (context.isJson()) context.out.jsonLine({ ok: true, account, credential, ...printed, timings, receipt });
  else for (const line of closingLines(recipe, result, options)) context.out.line(line);
};

const refuseUselessOptions = ({ mode, title }: ProviderRecipe, options: LoginCommandOptions): void => {
  if (mode === "oidc" || (options.tokenFile === undefined && !options.printTokens)) return;
  const sentence = `${title} keeps its credential itself: there are no tokens to store or print.`;
  throw new AppError("invalid", "no-tokens-here", sentence, { hint: "Leave out --token-file and --print-tokens." });
};

const closingLines = (recipe: ProviderRecipe, result: LoginResult, options: LoginCommandOptions): string[] => {
  const { account, credential, tokens, receipt } = result;
  const who = account
    ? `Signed in as ${account.name} (${account.sub} at ${account.issuer}).`
    : `${recipe.title} is signed in.`;
  const where = options.tokenFile ?? credential;
  return [
    "",
    where === null ? who : `${who} The credential is in ${where}.`,
    `The microVM is gone: ${receipt.body.gone.map(({ kind }) => kind).join(", ") || "nothing was left to remove"}.`,
    ...(options.printTokens && tokens ? [JSON.stringify(tokens, null, 2)] : []),
  ];
};
