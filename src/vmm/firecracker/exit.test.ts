import { expect, test } from "vitest";
import { explainExit } from "./exit.ts";

test.each([
  ["ended with code 0", "the guest shut down or restarted"],
  ["ended with code 1", "the VMM gave up with an error of its own"],
  ["ended with code 12", "memory ran out"],
  ["ended with code 137", "it was killed, as happens when memory runs out"],
  ["ended with code 148", "it made a system call that its filter forbids"],
  ["ended with code 149", "memory or a file that it uses was gone (SIGBUS)"],
  ["ended with code 150", "it used memory that it does not have (SIGSEGV)"],
  ["ended with code 151", "a file that it writes reached its limit (SIGXFSZ)"],
  ["ended with code 152", "its configuration was refused"],
  ["ended with code 153", "its arguments were refused"],
])("%s: %s", (how, words) => {
  expect(explainExit(how)).toBe(`${how}: ${words}`);
});

test.each(["ended with code 77", "was ended by SIGKILL"])("what says all there is to know stays: %s", (how) => {
  expect(explainExit(how)).toBe(how);
});
