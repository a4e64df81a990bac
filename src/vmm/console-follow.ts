/** The console from its beginning and as it grows, over whatever is cut out of the file meanwhile. */
import type { FileHandle } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { openIfThere } from "../lib/open-if-there.ts";
import { CONSOLE_HEAD_BYTES, readGap } from "./console.ts";

const LOOK_INTERVAL_MS = 250;
const PIECE_BYTES = 64 * 1024;
/** A whole console, and as much again with each look: a guest that writes without end is not passed on as fast as it writes. */
const PIECES_PER_LOOK = 16;

export interface FollowOptions {
  /** No more will be written; asked before each look, so that the last words are still read. */
  isOver: () => Promise<boolean>;
  /** Ends the following without an error. */
  signal: AbortSignal;
}

/**
 * Pieces of text of at most 64 KiB. Nothing is held between them, so a reader that is slow costs nothing: it finds the mark of the
 * gap where its place was cut out. The file may come later, and may be removed while it is read.
 */
export const followConsole = async function* (
  file: string,
  { isOver, signal }: FollowOptions,
): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  let handle: FileHandle | undefined;
  let offset = 0;
  try {
    while (!signal.aborted) {
      const isLastLook = await isOver();
      handle ??= await openIfThere(file);
      for (let left = isLastLook ? Infinity : PIECES_PER_LOOK; handle && left > 0 && !signal.aborted; left--) {
        const piece = await readPiece(handle, offset);
        if (piece.next === offset) break;
        offset = piece.next;
        yield decoder.decode(piece.bytes, { stream: true });
      }
      if (isLastLook) return;
      // An abort ends the pause, and by the loop's condition the following.
      await sleep(LOOK_INTERVAL_MS, undefined, { signal }).catch(() => {});
    }
  } finally {
    await handle?.close();
  }
};

/**
 * What stands at `offset`, counted in bytes that the guest wrote, the lost ones included. When that place is gone: the mark, and the
 * first place after it.
 */
export const readPiece = async (handle: FileHandle, offset: number): Promise<{ bytes: Uint8Array; next: number }> => {
  for (;;) {
    const gap = await readGap(handle);
    const afterGap = CONSOLE_HEAD_BYTES + gap.cut;
    const isBeforeGap = offset < CONSOLE_HEAD_BYTES;
    if (gap.cut > 0 && !isBeforeGap && offset < afterGap) return { bytes: Buffer.from(gap.mark), next: afterGap };

    const isShifted = gap.cut > 0 && !isBeforeGap;
    const position = isShifted ? CONSOLE_HEAD_BYTES + gap.mark.length + offset - afterGap : offset;
    const length = isBeforeGap ? Math.min(PIECE_BYTES, CONSOLE_HEAD_BYTES - offset) : PIECE_BYTES;
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(length), 0, length, position);
    // Cut meanwhile: what was read may have come from anywhere.
    if ((await readGap(handle)).cut !== gap.cut) continue;
    return { bytes: buffer.subarray(0, bytesRead), next: offset + bytesRead };
  }
};

/** The place of the last piece. */
export const consoleEnd = async (handle: FileHandle): Promise<number> => {
  const { cut, mark } = await readGap(handle);
  return (await handle.stat()).size - mark.length + cut - PIECE_BYTES;
};
