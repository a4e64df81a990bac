import { errnoOf } from "./errors.ts";

/**
 * What was asked of a file or folder, or `instead` where there is none. Any error but `codes` is thrown: a process that ends
 * while /proc is read gives ESRCH, a device that is only a name ENODEV.
 */
export const unlessMissing = async <T, U>(work: Promise<T>, instead: U, codes = ["ENOENT"]): Promise<T | U> => {
  try {
    return await work;
  } catch (error) {
    if (codes.includes(errnoOf(error) ?? "")) return instead;
    throw error;
  }
};
