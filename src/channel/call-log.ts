/** A record of what was asked over a channel and how it ended: method, duration, outcome. Never what was said. */
import { appendFileSync, renameSync, statSync } from "node:fs";
import { AppError, errnoOf } from "../lib/errors.ts";
import type { GuestChannel } from "./channel.ts";

/** The file is put aside at this size, so that two of them are kept: some 2 000 calls. */
const LIMIT_BYTES = 64 * 1024;

/** Where the older half of a log is. */
export const olderLog = (file: string): string => `${file}.1`;

/**
 * The same channel, with a line in `file` for each call that ended. Written synchronously: a line or none, in their order, and none
 * after `close`, when the folder it lies in may be on its way out. A line that cannot be written keeps no call from being made.
 */
export const withCallLog = (channel: GuestChannel, file: string): GuestChannel => {
  let isClosed = false;
  let bytes = sizeOf(file);

  const write = (words: string): void => {
    if (isClosed) return;
    const line = `${new Date().toISOString()} ${words}\n`;
    try {
      if (bytes > LIMIT_BYTES) {
        renameSync(file, olderLog(file));
        bytes = 0;
      }
      appendFileSync(file, line, { mode: 0o600 });
      bytes += line.length;
    } catch (error) {
      // A full disk, or a folder that is gone with its microVM: the calls matter more than the record of them.
      if (!["ENOSPC", "ENOENT", "EDQUOT"].includes(errnoOf(error) ?? "")) throw error;
    }
  };

  write("channel opened by the controller");
  return {
    call: async (method, params, options) => {
      const startedAt = performance.now();
      const ended = (outcome: string): void =>
        write(`${method} ${Math.round(performance.now() - startedAt)} ms ${outcome}`);
      try {
        const result = await channel.call(method, params, options);
        ended("ok");
        return result;
      } catch (error) {
        ended(error instanceof AppError ? error.code : "given-up");
        throw error;
      }
    },
    get traffic() {
      return channel.traffic;
    },
    close: () => {
      const { bytes, garbageLines, spentMs, isFlooding } = channel.traffic;
      if (garbageLines > 0) write(`lines that answered nothing: ${garbageLines}`);
      if (isFlooding) write(`closed before, for a flood: ${bytes} bytes cost ${spentMs} ms`);
      write("channel closed by the controller");
      isClosed = true;
      channel.close();
    },
  };
};

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
