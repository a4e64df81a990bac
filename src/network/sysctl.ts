import { readFile, writeFile } from "node:fs/promises";
import { errnoOf } from "../lib/errors.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { needsRoot } from "./tool.ts";

/**
 * Sets a value of this network namespace, e.g. `net/ipv4/ip_forward`, unless it is set already: `/proc/sys` may be
 * read-only in a container whose host did the setting. Throws AppError `needs-root`.
 */
export const setSysctl = async (name: string, value: string): Promise<void> => {
  const path = `/proc/sys/${name}`;
  if ((await readFile(path, "utf8")).trim() === value) return;
  try {
    await writeFile(path, value);
  } catch (error) {
    if (["EACCES", "EPERM", "EROFS"].includes(errnoOf(error) ?? "")) throw needsRoot(`set ${name} to ${value}`, error);
    throw error;
  }
};

/** As `setSysctl`, where a kernel without the whole feature has nothing to set. */
export const setSysctlIfThere = (name: string, value: string): Promise<void> =>
  unlessMissing(setSysctl(name, value), undefined);
