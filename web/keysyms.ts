/** Pure: characters to X11 keysyms. */

export const KEYSYM = { backspace: 0xff08, tab: 0xff09, enter: 0xff0d } as const;

/** Latin-1 is its own keysym; the rest of Unicode lies above 0x01000000 (X11 protocol, appendix A). */
export const keysymOf = (character: string): number => {
  const point = character.codePointAt(0) ?? 0;
  const isLatin1 = (point >= 0x20 && point <= 0x7e) || (point >= 0xa0 && point <= 0xff);
  return isLatin1 ? point : 0x01000000 | point;
};
