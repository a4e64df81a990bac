import { expect, test } from "vitest";
import { compareVersions, isAtLeast } from "./versions.mjs";

test.each([
  ["1.12", "1.12.0", 0],
  ["1.9.9", "1.12", -3],
  ["10.0", "8.2.9", 2],
  ["1.17.0-dev", "1.17", 0],
  ["1.2.3", "1.2.3.4", -4],
])("%s against %s: %i", (one, other, difference) => {
  expect(compareVersions(one, other)).toBe(difference);
});

test.each([
  ["QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)", "8.2", true],
  ["8.2.0", "8.2", true],
  ["8.10", "8.2", true],
  ["8.1.9", "8.2", false],
  ["7.2", "8.2", false],
  ["no number", "8.2", false],
])("%s at least %s: %s", (text, wanted, answer) => {
  expect(isAtLeast(text, wanted)).toBe(answer);
});
