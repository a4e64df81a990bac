import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Files below a folder whose bytes hold a text. Links are not followed. */
export const filesWith = async (folder: string, text: string): Promise<string[]> => {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hits = await Promise.all(files.map(async (file) => ((await readFile(file)).includes(text) ? [file] : [])));
  return hits.flat();
};

/** Each line of a file that is not empty. */
export const linesOf = async (file: string): Promise<string[]> =>
  (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
