import { constants, open, type FileHandle } from "node:fs/promises";
import { unlessMissing } from "./unless-missing.ts";

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR } = constants;

/**
 * A file that somebody else may write to or hold, of whom nobody waits for anything: not for the other end of a pipe, nor for who has a
 * lease on it, which would take 45 s and one of Node's four threads. Undefined: it is not there, or held. Throws where it is a link.
 */
export const openIfThere = (file: string, access: "read" | "change" = "read"): Promise<FileHandle | undefined> => {
  const flags = (access === "read" ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOFOLLOW;
  return unlessMissing(open(file, flags), undefined, ["ENOENT", "EAGAIN"]);
};
