import { expect, test } from "vitest";
import { endOf } from "../exit.ts";
import { endOfFirecracker, EXIT_CODES } from "./exit.ts";

test.each([
  [0, "ended with code 0", "by-itself"],
  [1, "ended with code 1", "failed"],
  [12, "ended with code 12", "out-of-memory"],
  [137, "was ended by SIGKILL", "killed"],
  [139, "was ended by SIGSEGV", "crashed"],
  [148, "ended with code 148", "call-refused"],
  [149, "ended with code 149", "memory-gone"],
  [150, "ended with code 150", "crashed"],
  [151, "ended with code 151", "file-too-large"],
  [152, "ended with code 152", "misconfigured"],
  [153, "ended with code 153", "misconfigured"],
  [155, "ended with code 155", "failed"],
] as const)("code %i %s: %s", (code, how, end) => {
  expect(endOfFirecracker(code)).toBe(how);
  expect(endOf(how, EXIT_CODES)).toBe(end);
});
