import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from "node:fs";
import { errnoOf } from "./errors.ts";
import { requireOurs } from "./guarded-path.ts";

/**
 * A key file's text; undefined when there is none, or an empty one that a crash left. Throws AppError `path-not-ours` for one that
 * somebody else may have put there.
 */
export const readKeyFile = (file: string): string | undefined => {
  let opened: number | undefined;
  try {
    opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    requireOurs(file, fstatSync(opened), "file");
    return readFileSync(opened, "utf8").trim() || undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (errnoOf(error) === "ELOOP") requireOurs(file, lstatSync(file), "file");
    throw error;
  } finally {
    if (opened !== undefined) closeSync(opened);
  }
};
