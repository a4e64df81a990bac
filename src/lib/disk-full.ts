import { AppError } from "./errors.ts";

const SQLITE_FULL = 13;
/** What a write-ahead log reports when the disk fills in the middle of a write. */
const SQLITE_IOERR_WRITE = 778;

/** Of an error that says that the disk is full, from a file or the database: the same for people. Undefined for any other. */
export const diskFullOf = (error: unknown, effect = "running microVMs are not affected"): AppError | undefined => {
  const { code, errcode = 0 } = error instanceof Error ? (error as { code?: unknown; errcode?: number }) : {};
  const isFull = code === "ENOSPC" || code === "EDQUOT" || [SQLITE_FULL, SQLITE_IOERR_WRITE].includes(errcode);
  if (!isFull) return undefined;
  const sentence = "The host's disk is full, or a quota on it: Sallyport cannot write down what it does.";
  return new AppError("unavailable", "disk-full", sentence, {
    hint: `Free space in the data directory's file system; ${effect}.`,
    retryAfterSec: 30,
    cause: error,
  });
};
