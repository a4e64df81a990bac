import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { run } from "../lib/exec.ts";
import { runContained } from "./contain.ts";
import type { GuestFile } from "./recipe.ts";

/** Packs files, owned by root, into a tar archive. Its folders are 0755. */
export const packGuestFiles = async (files: GuestFile[], archive: string, signal: AbortSignal): Promise<void> => {
  const stage = `${archive}.d`;
  await mkdir(stage);
  // Modes by chmod and not at creation, because there the umask takes its share.
  for (const folder of foldersOf(files)) {
    await mkdir(join(stage, folder), { recursive: true });
    await chmod(join(stage, folder), 0o755);
  }
  for (const { path, content, mode } of files) {
    await writeFile(join(stage, path), content);
    await chmod(join(stage, path), mode);
  }
  const owner = ["--owner=0", "--group=0", "--numeric-owner"];
  await run("tar", ["--create", "--file", archive, "--directory", stage, ...owner, "."], { signal });
  await rm(stage, { recursive: true });
};

/**
 * Lays files into a tree with the tree's own tar, so that links such as /lib lead where they lead in the guest and never out
 * to the host. tar replaces a file rather than writing into it: an inode shared with another tree stays as it was.
 */
export const layGuestFiles = async (files: GuestFile[], tree: string, signal: AbortSignal): Promise<void> => {
  const name = "sallyport-files.tar";
  const archive = join(tree, name);
  await packGuestFiles(files, archive, signal);
  const keep = ["--no-overwrite-dir", "--keep-directory-symlink"];
  await runContained("tar", ["--extract", "--file", `/${name}`, "--directory", "/", ...keep], { root: tree, signal });
  await rm(archive);
};

/** All folders above the files, each after its own parent. */
const foldersOf = (files: GuestFile[]): string[] => {
  const folders = new Set<string>();
  for (const { path } of files) {
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      folders.add(folder);
      if (folder === "/") break;
    }
  }
  return [...folders].sort();
};
