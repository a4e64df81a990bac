import { createReadStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Files below a folder whose bytes hold a text. Links are not followed. */
export const filesWith = async (folder: string, text: string): Promise<string[]> => {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const hits = await Promise.all(files.map(async (file) => ((await holds(file, Buffer.from(text))) ? [file] : [])));
  return hits.flat();
};

/** In pieces: a snapshot's memory is too large for one. */
const holds = async (file: string, wanted: Buffer): Promise<boolean> => {
  let seen = Buffer.alloc(0);
  for await (const piece of createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    seen = Buffer.concat([seen.subarray(Math.max(seen.length - wanted.length, 0)), piece]);
    if (seen.includes(wanted)) return true;
  }
  return false;
};

/** Each line of a file that is not empty. */
export const linesOf = async (file: string): Promise<string[]> =>
  (await readFile(file, "utf8")).split("\n").filter((line) => line !== "");
