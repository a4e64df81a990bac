/** Newline framing in constant memory, for both ends of the guest channel. */
import { MAX_LINE_BYTES } from "../contract/guest.ts";

export interface LineSplitterOptions {
  /** Each whole line that is valid UTF-8 and not empty, without its newline. */
  onLine: (line: string) => void;
  /** Once for each line that was too long or no UTF-8; its bytes are gone. */
  onGarbage: () => void;
  maxBytes?: number;
}

export interface LineSplitter {
  push(chunk: Uint8Array): void;
  /** Forgets half a line: its other half is not coming. */
  reset(): void;
}

const NEWLINE = 0x0a;
const FIRST_BUFFER_BYTES = 4096;

/**
 * Cuts a byte stream into lines. Of an unfinished line at most `maxBytes` are held, in one buffer of our own (a list of
 * the pieces as they came would cost far more when they come byte by byte); a longer line is dropped up to its newline.
 */
export const createLineSplitter = ({
  onLine,
  onGarbage,
  maxBytes = MAX_LINE_BYTES,
}: LineSplitterOptions): LineSplitter => {
  const decoder = new TextDecoder("utf-8", { fatal: true });
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

  const finishLine = (): void => {
    const line = isOverlong ? undefined : decode(held.subarray(0, heldBytes));
    heldBytes = 0;
    isOverlong = false;
    if (line === undefined) onGarbage();
    else if (line !== "") onLine(line);
  };

  const decode = (bytes: Buffer): string | undefined => {
    try {
      return decoder.decode(bytes);
    } catch {
      return undefined;
    }
  };

  return {
    push: (chunk) => {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        hold(bytes.subarray(start, end));
        finishLine();
        start = end + 1;
      }
      hold(bytes.subarray(start));
    },
    reset: () => {
      heldBytes = 0;
      isOverlong = false;
    },
  };
};
