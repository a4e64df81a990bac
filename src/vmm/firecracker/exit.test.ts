import { expect, test } from "vitest";
import { endOf } from "../exit.ts";
import { endOfFirecracker, EXIT_CODES } from "./exit.ts";

/** As a jailer 1.12.1 says it. */
const panicked = (why: string): string =>
  `\nthread 'main' panicked at src/jailer/src/main.rs:355:27:\nJailer error: ${why}\nnote: run with \`RUST_BACKTRACE=1\``;

test.each([
  [
    "another name",
    139,
    panicked('Invalid filename. The filename of `--exec-file` option must contain "firecracker": fc'),
  ],
  ["no program for it", 139, panicked("Failed to exec into Firecracker: No such file or directory (os error 2)")],
  ["an argument that it does not know", 1, "Failed to parse arguments: Found argument 'x' which wasn't expected"],
])("a jailer that gives up because of %s is no crash of Firecracker's", (_, code, said) => {
  const how = endOfFirecracker(code, said);
  expect(how).toBe("was not started by its jailer");
  expect(endOf(how, EXIT_CODES)).toBe("failed");
});

test("Firecracker's own panic is its crash, also when it quotes the jailer", () => {
  const own = "2026-11-30T16:44:13 [abc:main:ERROR] Firecracker panicked at src/vmm/src/lib.rs\nJailer error: x\n";
  expect(endOfFirecracker(139, own)).toBe("was ended by SIGSEGV");
  expect(endOfFirecracker(139, "thread 'main' panicked at src/vmm/src/lib.rs:1:1:\nx")).toBe("was ended by SIGSEGV");
});

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
