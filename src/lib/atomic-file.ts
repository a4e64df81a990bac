import { randomBytes } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

const A_NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * The whole content or the file as it was, also after power loss: a new file beside it, forced to the disk, then renamed over it.
 * Nobody ever sees half of it or another mode; a link in its place is replaced and not followed. The folder must exist.
 */
export const writeFileAtomically = (file: string, content: string | Buffer, mode = 0o600): void => {
  const beside = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    withFile(beside, A_NEW_FILE, mode, (descriptor) => {
      writeFileSync(descriptor, content);
      fsyncSync(descriptor);
    });
    renameSync(beside, file);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
  withFile(dirname(file), constants.O_RDONLY, undefined, fsyncSync);
};

const withFile = (path: string, flags: number, mode: number | undefined, use: (descriptor: number) => void): void => {
  const descriptor = openSync(path, flags, mode);
  try {
    use(descriptor);
  } finally {
    closeSync(descriptor);
  }
};
