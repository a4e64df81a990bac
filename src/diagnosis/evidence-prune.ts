/** Keeps evidence within its age and its size on disk; the oldest goes first. */
import { lstat, readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { DataPaths } from "../lib/paths.ts";
import { MIB } from "../lib/units.ts";
import { unlessMissing } from "../lib/unless-missing.ts";

const DAY_MS = 86_400_000;

/** What `keepEvidence` names; anything else there is somebody else's. */
const OURS = /^ses_\w+(\.new)?$/;

/**
 * `maxMib`: of all sessions together; `steadyNow`: what age is counted by. Returns the names of what was removed, oldest first; what would not go is tried again the next
 * time. One after the other: there may be thousands, and the controller has other things to do.
 */
export const pruneEvidence = async (
  paths: DataPaths,
  { keepDays, maxMib }: { keepDays: number; maxMib: number },
  steadyNow = Date.now(),
): Promise<string[]> => {
  const root = dirname(paths.evidence("any"));
  const kept: Awaited<ReturnType<typeof measure>>[] = [];
  for (const name of await list(root)) if (OURS.test(name)) kept.push(await measure(root, name));
  kept.sort((a, b) => a.writtenMs - b.writtenMs);
  const oldestMs = steadyNow - keepDays * DAY_MS;
  let bytes = kept.reduce((sum, entry) => sum + entry.bytes, 0);
  const removed: string[] = [];
  for (const entry of kept) {
    if (entry.writtenMs >= oldestMs && bytes <= maxMib * MIB) break;
    if (!(await isRemoved(join(root, entry.name)))) continue;
    bytes -= entry.bytes;
    removed.push(entry.name);
  }
  return removed;
};

/** When a folder's newest file was written, and what its files take on disk. Written in the future, by a wrong clock: nobody knows, oldest. */
const measure = async (root: string, name: string) => {
  const folder = join(root, name);
  const paths = [folder, ...(await list(folder)).map((file) => join(folder, file))];
  let [writtenMs, bytes] = [0, 0];
  for (const path of paths) {
    const found = await unlessMissing(lstat(path), undefined);
    writtenMs = Math.max(writtenMs, found?.mtimeMs ?? 0);
    // What the disk gives away; `blocks` are of 512 bytes whatever the file system's are.
    bytes += (found?.blocks ?? 0) * 512;
  }
  return { name, writtenMs: writtenMs > Date.now() + DAY_MS ? 0 : writtenMs, bytes };
};

/** One that cannot go (an immutable file) must not keep the others; it stays the oldest. */
const isRemoved = (folder: string): Promise<boolean> =>
  rm(folder, { recursive: true, force: true }).then(
    () => true,
    () => false,
  );

const list = (folder: string): Promise<string[]> => unlessMissing(readdir(folder), [], ["ENOENT", "ENOTDIR"]);
