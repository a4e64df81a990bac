/** Connecting to a Unix socket whose bytes are read into one buffer, over and over. */
import { connect, type Socket } from "node:net";

export interface StreamReader {
  /** Holds what was read, until the callback returns. */
  buffer: Buffer;
  /** Called with the number of bytes read. False: no more for now, until the stream is resumed. */
  callback: (length: number) => boolean;
}

/** Opens a stream whose incoming bytes go to the reader. Rejects with the system's error, or the signal's reason. */
export type OpenStream = (reader: StreamReader, signal: AbortSignal) => Promise<Socket>;

export const openSocket =
  (path: string): OpenStream =>
  (onread, signal) =>
    new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const socket = connect({ path, onread });
      const abort = (): void => {
        socket.destroy();
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", abort, { once: true });
      socket.once("connect", () => resolve(socket));
      // Whoever has the stream sees it close; until then it is an error of opening it.
      socket.on("error", reject);
      socket.once("close", () => signal.removeEventListener("abort", abort));
    });
