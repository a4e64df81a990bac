/** The files that a machine is frozen into, in its snapshot's folder: the same for every VMM. */
import { chmod, chown, open } from "node:fs/promises";
import { join } from "node:path";

/** The guest's memory, and the state of all else. */
export const FROZEN_FILES = ["memory", "state"] as const;

/** What was written is on the disk, and nobody's to change. */
export const closeFrozen = async (folder: string): Promise<void> => {
  for (const name of FROZEN_FILES) {
    const path = join(folder, name);
    await chown(path, 0, 0);
    await chmod(path, 0o444);
    await toDisk(path);
  }
  await toDisk(folder);
};

const toDisk = async (path: string): Promise<void> => {
  await using handle = await open(path, "r");
  await handle.sync();
};
