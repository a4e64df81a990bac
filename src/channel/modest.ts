import { MAX_ANSWER_DEPTH, MAX_ANSWER_PARTS } from "../contract/guest.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/**
 * Whether a line is no deeper and has no more parts than an answer may: what JSON.parse takes for either is a hundred times what it
 * takes for text. Says nothing of whether it is JSON.
 */
export const isModest = (line: Buffer): boolean => {
  let depth = 0;
  let parts = 0;
  let isInString = false;
  for (let at = 0; at < line.length; at++) {
    const byte = line[at] ?? 0;
    if (isInString) {
      if (byte === BACKSLASH) at++;
      else isInString = byte !== QUOTE;
    } else if (byte === QUOTE) isInString = true;
    else if (byte === COMMA) parts++;
    else if (OPENING.has(byte)) {
      depth++;
      parts++;
    } else if (CLOSING.has(byte)) depth--;
    if (depth > MAX_ANSWER_DEPTH || parts > MAX_ANSWER_PARTS) return false;
  }
  return true;
};
