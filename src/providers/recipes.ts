/** Provider recipes from YAML files and the configuration. docs/PROVIDERS.md is written for those who add one. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { providerRecipe, type ProviderRecipe } from "../contract/provider.ts";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { formatIssues } from "../lib/issues.ts";

export interface ProviderSources {
  /** Folders of `<name>.yaml`; a later one replaces whole recipes of an earlier one; one that is not there counts as empty. */
  directories: string[];
  /** Provider name → fields laid over its recipe; without a recipe they must be a whole one. */
  overrides: Record<string, unknown>;
}

/** All recipes by name. Throws AppError `provider-invalid` naming file and field: a bad recipe is never skipped. */
export const loadProviders = ({ directories, overrides }: ProviderSources): Map<string, ProviderRecipe> => {
  const recipes = new Map<string, ProviderRecipe>();
  for (const file of directories.flatMap(listRecipeFiles)) {
    const recipe = readProvider(file);
    const expected = basename(file, ".yaml");
    if (recipe.name !== expected) throw invalid(file, [`name: must be ${expected}, as the file is called`]);
    recipes.set(recipe.name, recipe);
  }
  for (const [name, fields] of Object.entries(overrides)) {
    const laid = { ...recipes.get(name), ...asRecord(fields, name), name };
    recipes.set(name, check(laid, `providers.${name} of the configuration`));
  }
  return recipes;
};

/** One recipe from one file. Throws AppError `provider-invalid`. */
export const readProvider = (file: string): ProviderRecipe => {
  let content: unknown;
  try {
    content = parse(readFileSync(file, "utf8"), { maxAliasCount: 10 });
  } catch (cause) {
    throw invalid(file, [messageOf(cause)], cause);
  }
  return check(content, file);
};

const listRecipeFiles = (directory: string): string[] => {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith(".yaml"))
      .toSorted()
      .map((name) => join(directory, name));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw invalid(directory, [messageOf(error)], error);
  }
};

const check = (content: unknown, source: string): ProviderRecipe => {
  const parsed = providerRecipe.safeParse(content);
  if (!parsed.success) throw invalid(source, formatIssues(parsed.error), parsed.error);
  return parsed.data;
};

const asRecord = (fields: unknown, name: string): Record<string, unknown> => {
  if (typeof fields === "object" && fields !== null && !Array.isArray(fields)) return { ...fields };
  throw invalid(`providers.${name} of the configuration`, ["must be fields of a recipe"]);
};

const invalid = (source: string, fields: string[], cause?: unknown): AppError =>
  new AppError("invalid", "provider-invalid", `The provider recipe ${source} is not valid: ${fields.join("; ")}.`, {
    fields,
    hint: "docs/PROVIDERS.md lists every field of a recipe.",
    cause,
  });
