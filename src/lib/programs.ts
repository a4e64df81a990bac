import { accessSync, constants, lstatSync, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";
import { errnoOf } from "./errors.ts";

/** Where the system's own programs lie; a user's PATH leaves out the sbin folders on Debian. */
export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Full path of a program as the shell would find it, or undefined. A name with a slash is looked at where it says. */
export const findProgram = (name: string, path: string): string | undefined =>
  candidates(name, path).find(isExecutable);

/** Of one that was not found: what is at the first place that has anything, and why it cannot be run, as "FILE is a folder". */
export const whyNotRun = (name: string, path: string): string | undefined => {
  for (const file of candidates(name, path)) {
    const fault = faultAt(file);
    if (fault !== undefined) return `${file} ${fault}`;
  }
  return undefined;
};

const candidates = (name: string, path: string): string[] =>
  name.includes("/")
    ? [name]
    : path
        .split(delimiter)
        .filter(isAbsolute)
        .map((folder) => join(folder, name));

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    // Whatever keeps it from being run, missing or forbidden, the search goes on as the shell's does.
    return false;
  }
};

const faultAt = (file: string): string | undefined => {
  try {
    const status = statSync(file);
    if (!status.isFile()) return status.isDirectory() ? "is a folder" : "is no file";
    if ((status.mode & 0o111) === 0) return "may be run by nobody (mend it with chmod 755)";
    const isRoot = process.geteuid?.() === 0;
    return `${isRoot ? "" : "may not be run by this user, or "}lies on a file system that is mounted noexec`;
  } catch (error) {
    if (errnoOf(error) === "ELOOP") return "is a link that leads in a circle";
    if (errnoOf(error) === "EACCES") return "is where this user may not look";
    const isThere = errnoOf(error) === "ENOENT" && lstatSync(file, { throwIfNoEntry: false }) !== undefined;
    return isThere ? "is a link to what is not there" : undefined;
  }
};
