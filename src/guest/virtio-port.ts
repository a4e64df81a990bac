/**
 * A virtio-serial port as the way to the host. While the host's end is closed, reads return end-of-file at once and a write
 * blocks (Linux, drivers/char/virtio_console.c), and Node can wrap the device neither as a socket nor as a terminal. So: plain
 * asynchronous file calls on the thread pool, one read and one write in flight.
 */
import { open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../lib/errors.ts";
import type { Device, DeviceListener } from "./port.ts";

export interface VirtioPortOptions extends DeviceListener {
  /** The real port can be opened only once: it is one handle twice. */
  input: FileHandle;
  output: FileHandle;
  log: (message: string) => void;
}

const READ_BYTES = 64 * 1024;
const HOST_AWAY_RETRY_MS = 100;
const BROKEN_RETRY_MS = 1000;

export const openVirtioPort = async (path: string, options: Omit<VirtioPortOptions, "input" | "output">) => {
  const handle = await open(path, "r+");
  return pumpVirtioPort({ ...options, input: handle, output: handle });
};

/** `close` ends both directions as soon as a read or write under way returns; nothing can interrupt those. */
export const pumpVirtioPort = ({ input, output, onBytes, onBreak, log }: VirtioPortOptions): Device => {
  let isClosed = false;

  const readBytes = async (): Promise<void> => {
    const buffer = Buffer.alloc(READ_BYTES);
    while (!isClosed) {
      const read = await retried("read", async () => input.read(buffer, 0, buffer.length, null));
      if (read && read.bytesRead > 0) onBytes(buffer.subarray(0, read.bytesRead));
      else {
        onBreak();
        if (!isClosed) await sleep(HOST_AWAY_RETRY_MS);
      }
    }
  };

  const write = async (line: Buffer): Promise<void> => {
    for (let rest = line; rest.length > 0 && !isClosed;) {
      const piece = rest;
      const written = await retried("write", async () => output.write(piece));
      rest = rest.subarray(written?.bytesWritten ?? 0);
    }
  };

  const retried = async <T>(what: string, attempt: () => Promise<T>): Promise<T | undefined> => {
    while (!isClosed) {
      try {
        return await attempt();
      } catch (error) {
        log(`channel: ${what} failed, trying again: ${messageOf(error)}`);
        await sleep(BROKEN_RETRY_MS);
      }
    }
    return undefined;
  };

  // Ends the half line that an agent before this one may have left behind.
  const greeting = write(Buffer.from("\n"));
  const reading = readBytes();
  return {
    write: async (line) => {
      await greeting;
      await write(line);
    },
    close: async () => {
      isClosed = true;
      await reading;
      await input.close();
      if (output !== input) await output.close();
    },
  };
};
