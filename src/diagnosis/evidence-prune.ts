/** Keeps evidence within its age and its size on disk; the oldest goes first. */
import { readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "../lib/errors.ts";
import type { DataPaths } from "../lib/paths.ts";

export interface EvidenceLimits {
  keepDays: number;
  /** Of all sessions together. */
  maxMib: number;
}

const DAY_MS = 86_400_000;
const MIB = 1024 * 1024;

/** Returns the ids of the sessions whose evidence was removed, oldest first. */
export const pruneEvidence = async (paths: DataPaths, limits: EvidenceLimits): Promise<string[]> => {
  const root = dirname(paths.evidence("any"));
  const kept = await Promise.all((await list(root)).map((name) => measure(root, name)));
  kept.sort((a, b) => a.writtenMs - b.writtenMs);
  const oldestMs = Date.now() - limits.keepDays * DAY_MS;
  let bytes = kept.reduce((sum, entry) => sum + entry.bytes, 0);
  const removed: string[] = [];
  for (const entry of kept) {
    if (entry.writtenMs >= oldestMs && bytes <= limits.maxMib * MIB) break;
    await rm(join(root, entry.name), { recursive: true, force: true });
    bytes -= entry.bytes;
    removed.push(entry.name);
  }
  return removed;
};

/** When a folder's newest file was written, and what its files take on disk. */
const measure = async (root: string, name: string): Promise<{ name: string; writtenMs: number; bytes: number }> => {
  const folder = join(root, name);
  const paths = [folder, ...(await list(folder)).map((file) => join(folder, file))];
  const files = await Promise.all(paths.map((path) => stat(path)));
  return {
    name,
    writtenMs: Math.max(...files.map(({ mtimeMs }) => mtimeMs)),
    // What the disk gives away; `blocks` are of 512 bytes whatever the file system's are.
    bytes: files.reduce((sum, { blocks }) => sum + blocks * 512, 0),
  };
};

const list = async (folder: string): Promise<string[]> => {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
};
