import { expect, test } from "vitest";
import { endOf } from "./exit.ts";

const CODES = { 148: "call-refused", 151: "file-too-large" } as const;

test.each([
  [null, null],
  ["ended with code 0", "by-itself"],
  ["ended with code 1", "failed"],
  ["ended with code 148", "call-refused"],
  ["ended with code 151", "file-too-large"],
  ["was ended by SIGKILL", "killed"],
  ["was ended by SIGTERM", "killed"],
  ["was ended by SIGSYS", "call-refused"],
  ["was ended by SIGBUS", "memory-gone"],
  ["was ended by SIGSEGV", "crashed"],
  ["was ended by SIGXFSZ", "file-too-large"],
])("a VMM that %s: %s", (exit, end) => {
  expect(endOf(exit, CODES)).toBe(end);
});

test("a code means what its backend says, and to another only that something failed", () => {
  expect(endOf("ended with code 148", {})).toBe("failed");
});
