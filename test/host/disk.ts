/** The disk that the test host works on: made once from what it carries, and never written again. */
import { createHash } from "node:crypto";
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "../../src/lib/errors.ts";
import { run } from "../../src/lib/exec.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";

/** Path on the disk → folder or file that is there, or a text. */
export type Carried = Record<string, string | { text: string }>;

/** For what tests write. The file is sparse. */
const FREE_BYTES = 10 * 1024 ** 3;
/** Until a disk that nobody asked for again is removed, when another one is made. */
const KEPT_MS = 30 * 60_000;
const COPY_TIMEOUT_MS = 5 * 60_000;

/** Path of an ext4 file system labelled `work`, below `folder`; the same one for as long as nothing of it changes. */
export const makeWorkDisk = async (carried: Carried, folder: string): Promise<string> => {
  await mkdir(folder, { recursive: true });
  const disk = join(folder, `work-${await digestOf(carried)}.ext4`);
  if (await unlessMissing(stat(disk), undefined)) {
    await utimes(disk, new Date(), new Date());
    return disk;
  }
  await removeOld(folder);
  const workspace = await mkdtemp(join(folder, "tmp-"));
  try {
    const tree = join(workspace, "tree");
    for (const [path, what] of Object.entries(carried)) await lay(what, join(tree, path));
    await chmod(tree, 0o755);
    const image = join(workspace, "disk");
    await makeFileSystem(tree, image);
    await rename(image, disk);
    return disk;
  } finally {
    await rm(workspace, { recursive: true, force: true });
  }
};

const lay = async (what: Carried[string], target: string): Promise<void> => {
  await mkdir(dirname(target), { recursive: true });
  if (typeof what !== "string") return writeFile(target, what.text);
  const source = await realpath(what);
  const copy = (how: string) => run("cp", ["--archive", how, source, target], { timeoutMs: COPY_TIMEOUT_MS });
  try {
    await copy("--link");
  } catch (error) {
    // From another file system, or half a folder from a file system that refuses links.
    if (!(error instanceof AppError)) throw error;
    await rm(target, { recursive: true, force: true });
    await copy("--reflink=auto");
  }
};

const makeFileSystem = async (tree: string, image: string): Promise<void> => {
  const { stdout } = await run("du", ["--summarize", "--block-size=1", tree]);
  const kib = Math.ceil((Number.parseInt(stdout, 10) + FREE_BYTES) / 1024);
  const layout = "-q -b 4096 -m 0 -O ^has_journal -L work -E root_owner=0:0,lazy_itable_init=1".split(" ");
  await run("/usr/sbin/mkfs.ext4", [...layout, "-d", tree, image, `${kib}k`], { timeoutMs: COPY_TIMEOUT_MS });
};

/** Packages count by the list that npm writes last, all else by what a look at it says: images never change. */
const digestOf = async (carried: Carried): Promise<string> => {
  const hash = createHash("sha256");
  for (const [path, what] of Object.entries(carried)) {
    if (typeof what !== "string") {
      hash.update(JSON.stringify([path, what]));
      continue;
    }
    const source = await realpath(what);
    const packages = await unlessMissing(readFile(join(source, ".package-lock.json"), "utf8"), undefined, [
      "ENOENT",
      "ENOTDIR",
    ]);
    const { size, mtimeMs, ino } = await stat(source);
    hash.update(JSON.stringify([path, packages ?? [source, size, mtimeMs, ino]]));
  }
  return hash.digest("hex").slice(0, 16);
};

/** A host that runs keeps the one it has open. */
const removeOld = async (folder: string): Promise<void> => {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const seenAt = (await unlessMissing(stat(path), undefined))?.mtimeMs ?? 0;
    if (Date.now() - seenAt > KEPT_MS) await rm(path, { recursive: true, force: true });
  }
};
