import { errnoOf } from "./errors.ts";

/** What was asked of a file or folder, or `instead` where there is none. Any error but ENOENT is thrown. */
export const unlessMissing = async <T, U>(work: Promise<T>, instead: U): Promise<T | U> => {
  try {
    return await work;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return instead;
    throw error;
  }
};
