/** Newline framing in constant memory, for both ends of the guest channel. */
import { MAX_LINE_BYTES } from "../contract/guest.ts";

export interface LineSplitterOptions {
  /** Each whole line that is not empty, without its newline. The bytes are good until the call returns. */
  onLine: (line: Buffer) => void;
  /** Once for each line that was too long; its bytes are gone. */
  onGarbage: () => void;
  maxBytes?: number;
}

export type LineSplitter = ReturnType<typeof createLineSplitter>;

const NEWLINE = 0x0a;
const FIRST_BUFFER_BYTES = 4096;

/**
 * Cuts a byte stream into lines. Of an unfinished line at most `maxBytes` are held, in one buffer of our own (a list of
 * the pieces as they came would cost far more when they come byte by byte); a longer line is dropped up to its newline.
 */
export const createLineSplitter = ({ onLine, onGarbage, maxBytes = MAX_LINE_BYTES }: LineSplitterOptions) => {
  let held = Buffer.alloc(Math.min(FIRST_BUFFER_BYTES, maxBytes));
  let heldBytes = 0;
  let isOverlong = false;

  const hold = (piece: Buffer): void => {
    if (heldBytes + piece.length > maxBytes) isOverlong = true;
    if (isOverlong) return;
    if (heldBytes + piece.length > held.length) {
      const grown = Buffer.alloc(Math.min(maxBytes, Math.max(held.length * 2, heldBytes + piece.length)));
      held.copy(grown, 0, 0, heldBytes);
      held = grown;
    }
    piece.copy(held, heldBytes);
    heldBytes += piece.length;
  };

  const finish = (piece: Buffer): void => {
    if (heldBytes > 0) hold(piece);
    const line = heldBytes > 0 ? held.subarray(0, heldBytes) : piece;
    const isTooLong = isOverlong || line.length > maxBytes;
    heldBytes = 0;
    isOverlong = false;
    if (isTooLong) onGarbage();
    else if (line.length > 0) onLine(line);
  };

  return {
    push: (chunk: Uint8Array): void => {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        finish(bytes.subarray(start, end));
        start = end + 1;
        // A flood of empty lines is not worth a search for each.
        while (bytes[start] === NEWLINE) start++;
      }
      if (start < bytes.length) hold(bytes.subarray(start));
    },
    /** Forgets half a line: its other half is not coming. */
    reset: (): void => {
      heldBytes = 0;
      isOverlong = false;
    },
  };
};

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Undefined when the bytes are no UTF-8. */
export const decodeLine = (line: Buffer): string | undefined => {
  try {
    return decoder.decode(line);
  } catch {
    return undefined;
  }
};
