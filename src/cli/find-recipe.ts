/**
 * The recipe that the requester's side goes by. It names a command that runs here with the requester's rights, so it comes
 * from this machine and never from a controller; of a controller only what is no command is believed: issuer and client id.
 */
import { join } from "node:path";
import type { Client } from "../client/client.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import { AppError } from "../lib/errors.ts";
import { dataPaths, packageRoot } from "../lib/paths.ts";
import { loadProviders, readProvider } from "../providers/recipes.ts";
import type { CliContext } from "./context.ts";

export interface RecipeWish {
  provider: string;
  /** A recipe's file, given by hand. */
  file: string | undefined;
  client: Client;
  context: CliContext;
}

/** Throws AppError `unknown-provider`, `no-local-recipe`, `provider-invalid`. */
export const findRecipe = async ({ provider, file, client, context }: RecipeWish): Promise<ProviderRecipe> => {
  const local = file === undefined ? localProviders(context).get(provider) : readNamed(file, provider);
  if (local && (local.mode !== "oidc" || (local.issuer && local.clientId))) return local;

  const remote = (await client.providers()).find(({ name }) => name === provider);
  if (remote?.mode === "oidc") return local?.mode === "oidc" ? { ...remote, ...local } : remote;
  if (local) return local;
  if (remote) {
    const sentence = `The controller knows ${provider}, but this machine has no recipe for it.`;
    const place = `${ownFolder(context)}/${provider}.yaml`;
    throw new AppError("not-found", "no-local-recipe", sentence, {
      hint: `Its command would run here, so the recipe must be yours: ${place}, or --recipe FILE.`,
    });
  }
  throw new AppError("not-found", "unknown-provider", `There is no provider ${provider}.`, {
    hint: "sallyport providers lists them; docs/PROVIDERS.md says how to add one.",
  });
};

/** Shipped, then the user's own, then the operator's where the operator is the one who runs this. */
export const localProviders = (context: CliContext): Map<string, ProviderRecipe> => {
  const config = context.operatorConfig();
  return loadProviders({
    directories: [
      join(packageRoot(), "providers"),
      ownFolder(context),
      ...(config ? [dataPaths(config.dataDir).providers] : []),
    ],
    overrides: config?.providers ?? {},
  });
};

const ownFolder = ({ env }: CliContext): string => join(env.home ?? "/", ".config", "sallyport", "providers");

const readNamed = (file: string, provider: string): ProviderRecipe => {
  const recipe = readProvider(file);
  if (recipe.name === provider) return recipe;
  throw new AppError("invalid", "provider-invalid", `${file} is the recipe of ${recipe.name}, not of ${provider}.`, {
    hint: `Run: sallyport login ${recipe.name} --recipe ${file}`,
  });
};
