/** Connecting to a Unix socket whose bytes are read into one buffer, over and over. */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { basename, dirname } from "node:path";

export interface StreamReader {
  /** Holds what was read, until the callback returns. */
  buffer: Buffer;
  /** Called with the number of bytes read. False: no more for now, until the stream is resumed. */
  callback: (length: number) => boolean;
}

/**
 * Opens a stream whose incoming bytes go to the reader; it may be closed already when it is handed over, and tells that nobody then.
 * Rejects with the system's error, or the signal's reason.
 */
export type OpenStream = (reader: StreamReader, signal: AbortSignal) => Promise<Socket>;

export const openSocket =
  (path: string): OpenStream =>
  (onread, signal) =>
    withShortPath(path, (short) => connected(short, onread, signal));

/**
 * Linux allows a socket's path 107 bytes, and folders may be deeper: `use` gets a name that leads there by the open folder, good until
 * it has connected. Throws the system's error where there is no such folder.
 */
export const withShortPath = async <T>(path: string, use: (short: string) => Promise<T>): Promise<T> => {
  const folder = await open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    return await use(`/proc/self/fd/${folder.fd}/${basename(path)}`);
  } finally {
    await folder.close();
  }
};

const connected = (path: string, onread: StreamReader, signal: AbortSignal): Promise<Socket> =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = connect({ path, onread });
    const abort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.once("connect", () => resolve(socket));
    // Whoever has the stream sees it close, or closed; until then it is an error of opening it.
    socket.on("error", reject);
    socket.once("close", () => signal.removeEventListener("abort", abort));
  });
