/**
 * The guest's end of the virtio-serial port. While the host's end is closed, reads return end-of-file at once and a write
 * blocks (Linux, drivers/char/virtio_console.c), and Node can wrap the device neither as a socket nor as a terminal. So: plain
 * asynchronous file calls on the thread pool, one read and one write in flight, and a bounded queue of our own.
 */
import { open, type FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { createLineSplitter, decodeLine } from "../channel/lines.ts";
import { messageOf } from "../lib/errors.ts";

/** The real port can be opened only once: it is one handle twice. */
export interface Device {
  input: FileHandle;
  output: FileHandle;
}

export interface PortOptions {
  openDevice: () => Promise<Device>;
  onLine: (line: string) => void;
  log: (message: string) => void;
}

export type Port = ReturnType<typeof createPort>;

const READ_BYTES = 64 * 1024;
const MAX_QUEUED_BYTES = 1024 * 1024;
const HOST_AWAY_RETRY_MS = 100;
const BROKEN_RETRY_MS = 1000;

export const openVirtioPort = async (path: string): Promise<Device> => {
  const handle = await open(path, "r+");
  return { input: handle, output: handle };
};

/** Opens the device, as often as it takes (udev may not have named it yet), and pumps lines both ways until `close`. */
export const createPort = ({ openDevice, onLine, log }: PortOptions) => {
  const queue: Buffer[] = [];
  let queuedBytes = 0;
  let isClosed = false;
  let isWriting = false;
  let device: Device | undefined;

  const pump = async (): Promise<void> => {
    device = await retried("open", openDevice);
    if (!device) return;
    // Ends the half line that an agent before this one may have left behind.
    queue.unshift(Buffer.from("\n"));
    queuedBytes += 1;
    void writeQueue(device.output);
    await readLines(device.input);
  };

  const readLines = async (input: FileHandle): Promise<void> => {
    const onGarbage = (): void => log("channel port: an unreadable line was dropped");
    const splitter = createLineSplitter({
      onLine: (bytes) => {
        const line = decodeLine(bytes);
        if (line === undefined) onGarbage();
        else onLine(line);
      },
      onGarbage,
    });
    const buffer = Buffer.alloc(READ_BYTES);
    while (!isClosed) {
      const read = await retried("read", async () => input.read(buffer, 0, buffer.length, null));
      if (read && read.bytesRead > 0) splitter.push(buffer.subarray(0, read.bytesRead));
      else {
        splitter.reset();
        if (!isClosed) await sleep(HOST_AWAY_RETRY_MS);
      }
    }
  };

  const writeQueue = async (output: FileHandle): Promise<void> => {
    if (isWriting) return;
    isWriting = true;
    for (let line = queue.shift(); line && !isClosed; line = queue.shift()) {
      queuedBytes -= line.length;
      for (let rest = line; rest.length > 0 && !isClosed;) {
        const piece = rest;
        const written = await retried("write", async () => output.write(piece));
        rest = rest.subarray(written?.bytesWritten ?? 0);
      }
    }
    isWriting = false;
  };

  const retried = async <T>(what: string, attempt: () => Promise<T>): Promise<T | undefined> => {
    while (!isClosed) {
      try {
        return await attempt();
      } catch (error) {
        log(`channel port: ${what} failed, trying again: ${messageOf(error)}`);
        await sleep(BROKEN_RETRY_MS);
      }
    }
    return undefined;
  };

  const pumping = pump();
  return {
    /** Queues one line. When the host has not read for long, the oldest lines are dropped: their calls are over. */
    send: (line: string): void => {
      const bytes = Buffer.from(`${line}\n`);
      queue.push(bytes);
      queuedBytes += bytes.length;
      while (queuedBytes > MAX_QUEUED_BYTES) queuedBytes -= queue.shift()?.length ?? 0;
      if (device) void writeQueue(device.output);
    },
    /** Ends both directions as soon as a read or write under way returns; nothing can interrupt those. */
    close: async (): Promise<void> => {
      isClosed = true;
      await pumping;
      await device?.input.close();
      if (device?.output !== device?.input) await device?.output.close();
    },
  };
};
