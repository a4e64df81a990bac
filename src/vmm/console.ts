/** A guest writes its console without bound; the host keeps the beginning and the end. */
import { stat, type FileHandle } from "node:fs/promises";
import { openIfThere } from "../lib/open-if-there.ts";
import { MIB } from "../lib/units.ts";
import { unlessMissing } from "../lib/unless-missing.ts";

export const CONSOLE_HEAD_BYTES = 256 * 1024;
export const CONSOLE_TAIL_BYTES = 256 * 1024;
/** Size at which the middle is cut out: large enough that a guest which behaves never reaches it. */
export const CONSOLE_LIMIT_BYTES = MIB;

/**
 * Cuts the middle out of a console file over the limit, in place: the VMM holds it open in append mode and goes on at
 * the new end. What it writes during the cut may be lost, which the mark says; the mark counts all that was ever cut out,
 * so that a reader can find its place again. Returns the bytes cut out now.
 */
export const boundConsole = async (file: string): Promise<number> => {
  const handle = await openIfThere(file, "change");
  if (!handle) return 0;
  try {
    const { size, blocks } = await handle.stat();
    if (size <= CONSOLE_LIMIT_BYTES) {
      // Space that was reserved beyond its end goes.
      if (blocks * 512 > 2 * CONSOLE_LIMIT_BYTES) await handle.truncate(size);
      return 0;
    }
    const tail = Buffer.alloc(CONSOLE_TAIL_BYTES);
    const { bytesRead } = await handle.read(tail, 0, tail.length, size - tail.length);
    const before = await readGap(handle);
    const cut = size - CONSOLE_HEAD_BYTES - before.mark.length - bytesRead;
    await handle.truncate(CONSOLE_HEAD_BYTES);
    const mark = Buffer.from(`\n[sallyport: at least ${before.cut + cut} bytes cut out here]\n`);
    await handle.write(Buffer.concat([mark, tail.subarray(0, bytesRead)]), 0, undefined, CONSOLE_HEAD_BYTES);
    return cut;
  } finally {
    await handle.close();
  }
};

/** What was cut out of the middle and the mark that stands in its place, or nothing. A guest could write the like itself. */
export const readGap = async (handle: FileHandle): Promise<{ cut: number; mark: string }> => {
  const { bytesRead, buffer } = await handle.read(Buffer.alloc(80), 0, 80, CONSOLE_HEAD_BYTES);
  const [mark = "", cut = "0"] = MARK.exec(buffer.toString("latin1", 0, bytesRead)) ?? [];
  return { cut: Number(cut), mark };
};

const MARK = /^\n\[sallyport: at least (\d{1,15}) bytes cut out here\]\n/;

/** Bytes the guest has written so far that are still there; 0 without a file. */
export const consoleSize = async (file: string): Promise<number> =>
  (await unlessMissing(stat(file), undefined))?.size ?? 0;
