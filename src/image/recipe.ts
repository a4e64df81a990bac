/** From a recipe file to a recipe that needs no other file: sources read, certificates split, all checked. */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { imageRecipe, type ImageRecipe } from "../contract/image-recipe.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { digestOf, digestOfValue } from "./digest.ts";

/** A file of the guest, always owned by root. */
export interface GuestFile {
  /** Absolute path in the guest. */
  path: string;
  content: Buffer;
  /** Permission bits. */
  mode: number;
}

/** `caCertificates`: PEM, one certificate each. */
export interface ResolvedRecipe extends Omit<ImageRecipe, "base" | "files"> {
  distribution: "debian" | "ubuntu";
  suite: string;
  files: GuestFile[];
}

/**
 * Reads a recipe and everything it names; without a file, the built-in recipe.
 * Throws AppError `bad-recipe` naming the field, `recipe-unreadable` naming the file.
 */
export const loadRecipe = async (recipeFile?: string): Promise<ResolvedRecipe> => {
  const { base, ...recipe } = recipeFile ? parseRecipe(await readText(recipeFile), recipeFile) : imageRecipe.parse({});
  const folder = dirname(resolve(recipeFile ?? "."));
  const [distribution, suite] = base.split(":") as [ResolvedRecipe["distribution"], string];
  return {
    ...recipe,
    distribution,
    suite,
    packages: [...new Set(recipe.packages)].sort(),
    files: await Promise.all(recipe.files.map((file) => resolveFile(file, folder))),
    caCertificates: (await Promise.all(recipe.caCertificates.map((ca, i) => readCertificates(ca, folder, i)))).flat(),
  };
};

/** YAML or JSON (which is YAML) to a checked recipe. `name` stands in the error's sentence. */
export const parseRecipe = (text: string, name: string): ImageRecipe => {
  const document = parseDocument(text);
  const syntaxError = document.errors[0];
  if (syntaxError) throw badRecipe(name, [syntaxError.message.split("\n")[0] ?? syntaxError.message]);
  // An empty file is a recipe that asks for nothing special.
  const result = imageRecipe.safeParse(document.toJS() ?? {});
  if (!result.success) throw badRecipe(name, result.error.issues.map(describe));
  return result.data;
};

/** Equal for recipes that ask for the same, wherever their files lie. */
export const recipeDigest = (recipe: ResolvedRecipe): string =>
  digestOfValue({ ...recipe, files: recipe.files.map(digested) });

/** A file as it counts in a digest of many. */
export const digested = ({ path, mode, content }: GuestFile) => ({ path, mode, content: digestOf(content) });

const describe = (issue: z.core.$ZodIssue): string =>
  `${issue.path.length > 0 ? issue.path.join(".") : "recipe"}: ${issue.message}`;

const badRecipe = (name: string, fields: string[]): AppError =>
  new AppError("invalid", "bad-recipe", `The recipe ${name} is not valid. ${fields.join("; ")}.`, {
    fields,
    hint: "Correct what is named here; src/contract/image-recipe.ts describes every field.",
  });

const resolveFile = async (file: ImageRecipe["files"][number], folder: string): Promise<GuestFile> => ({
  path: file.path,
  content: file.source === undefined ? Buffer.from(file.content ?? "") : await readBytes(resolve(folder, file.source)),
  mode: Number.parseInt(file.mode, 8),
});

const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** One file per certificate: update-ca-certificates makes no link for the second one of a bundle. */
const readCertificates = async (textOrPath: string, folder: string, index: number): Promise<string[]> => {
  const isPem = textOrPath.includes("-----BEGIN");
  const text = isPem ? textOrPath : await readText(resolve(folder, textOrPath));
  const blocks = text.match(PEM_BLOCK) ?? [];
  const field = `caCertificates.${index}`;
  const name = isPem ? "given" : textOrPath;
  if (blocks.length === 0) throw badRecipe(name, [`${field}: holds no PEM certificate`]);
  return blocks.map((block) => {
    try {
      return new X509Certificate(block).toString();
    } catch (error) {
      throw badRecipe(name, [`${field}: is no readable certificate (${messageOf(error)})`]);
    }
  });
};

const readBytes = async (path: string): Promise<Buffer> => {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new AppError("invalid", "recipe-unreadable", `Cannot read ${path}, which the recipe needs.`, {
      cause,
      hint: "Paths in a recipe are relative to the recipe's own folder.",
    });
  }
};

const readText = async (path: string): Promise<string> => (await readBytes(path)).toString("utf8");
