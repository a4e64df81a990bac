/** A VMM's sockets lie deep below the data directory; a socket's path is 107 bytes at most, and is therefore short here. */
import { constants, open } from "node:fs/promises";
import { basename, dirname } from "node:path";

/** `use` is given another path of the socket, good while it lasts. Throws ENOENT where the folder is not there. */
export const withShortPath = async <T>(socket: string, use: (path: string) => Promise<T>): Promise<T> => {
  const folder = await open(dirname(socket), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await use(`/proc/self/fd/${folder.fd}/${basename(socket)}`);
  } finally {
    await folder.close();
  }
};
