import { readFileSync } from "node:fs";
import { errnoOf } from "./errors.ts";

/** A key file's text; undefined when there is none, or an empty one that a crash left. */
export const readKeyFile = (file: string): string | undefined => {
  try {
    return readFileSync(file, "utf8").trim() || undefined;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
};
