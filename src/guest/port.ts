/**
 * The guest's end of the channel: lines, over a device that comes and goes with the host at its other end. What the devices differ in is
 * in files of their own; a line that was sent goes to whatever host is there, now or next: it knows by the id what is its.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createLineSplitter, decodeLine } from "../channel/lines.ts";
import { messageOf } from "../lib/errors.ts";

/** A way to the host. */
export interface Device {
  /** Resolves when a host has the whole line, whichever and after however many tries, or when the device is closed. */
  write(line: Buffer): Promise<void>;
  close(): Promise<void>;
}

/** What a device tells from when it is opened until it is closed. */
export interface DeviceListener {
  /** The bytes are good until the call returns. */
  onBytes: (bytes: Uint8Array) => void;
  /** The host's end was closed, or is another's: the other half of half a line is not coming. */
  onBreak: () => void;
}

export interface PortOptions {
  /** May reject: it is called again every second. */
  openDevice: (listener: DeviceListener) => Promise<Device>;
  onLine: (line: string) => void;
  log: (message: string) => void;
}

export type Port = ReturnType<typeof createPort>;

const MAX_QUEUED_BYTES = 1024 * 1024;
const RETRY_MS = 1000;

/** Opens the device, as often as it takes (udev may not have named it yet), and pumps lines both ways until `close`. */
export const createPort = ({ openDevice, onLine, log }: PortOptions) => {
  const queue: Buffer[] = [];
  let queuedBytes = 0;
  let isClosed = false;
  let isWriting = false;
  let device: Device | undefined;

  const onGarbage = (): void => log("channel: an unreadable line was dropped");
  const splitter = createLineSplitter({
    onLine: (bytes) => {
      const line = decodeLine(bytes);
      if (line === undefined) onGarbage();
      else onLine(line);
    },
    onGarbage,
  });

  const open = async (): Promise<void> => {
    while (!isClosed && !device) {
      try {
        device = await openDevice({ onBytes: splitter.push, onBreak: splitter.reset });
      } catch (error) {
        log(`channel: no way to the host, trying again: ${messageOf(error)}`);
        await sleep(RETRY_MS);
      }
    }
    void writeQueue();
  };

  const writeQueue = async (): Promise<void> => {
    if (isWriting || !device) return;
    isWriting = true;
    for (let line = queue.shift(); line && !isClosed; line = queue.shift()) {
      queuedBytes -= line.length;
      await device.write(line);
    }
    isWriting = false;
  };

  const opening = open();
  return {
    /** Queues one line. When the host has not read for long, the oldest lines are dropped: their calls are over. */
    send: (line: string): void => {
      const bytes = Buffer.from(`${line}\n`);
      queue.push(bytes);
      queuedBytes += bytes.length;
      while (queuedBytes > MAX_QUEUED_BYTES) queuedBytes -= queue.shift()?.length ?? 0;
      void writeQueue();
    },
    close: async (): Promise<void> => {
      isClosed = true;
      await opening;
      await device?.close();
    },
  };
};
