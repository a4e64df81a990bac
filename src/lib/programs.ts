import { accessSync, constants, statSync } from "node:fs";
import { delimiter, isAbsolute, join } from "node:path";

/** Where the system's own programs lie; a user's PATH leaves out the sbin folders on Debian. */
export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Full path of a program as the shell would find it, or undefined. A name with a slash is looked at where it says. */
export const findProgram = (name: string, path: string): string | undefined => {
  const folders = path.split(delimiter).filter(isAbsolute);
  const candidates = name.includes("/") ? [name] : folders.map((folder) => join(folder, name));
  return candidates.find(isExecutable);
};

const isExecutable = (file: string): boolean => {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    // Whatever keeps it from being run, missing or forbidden, the search goes on as the shell's does.
    return false;
  }
};
