import { expect, test } from "vitest";
import { keysymOf } from "./keysyms.ts";

test.each([
  ["a", 0x61],
  ["Z", 0x5a],
  ["7", 0x37],
  [" ", 0x20],
  ["ü", 0xfc],
  ["€", 0x010020ac],
  ["😀", 0x0101f600],
])("keysymOf(%s)", (character, keysym) => {
  expect(keysymOf(character)).toBe(keysym);
});
