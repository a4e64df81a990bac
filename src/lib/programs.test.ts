import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, expect, test } from "vitest";
import { findProgram } from "./programs.ts";

const root = mkdtempSync(join(tmpdir(), "sallyport-programs-"));
const [first, second] = [join(root, "first"), join(root, "second")];
for (const folder of [first, second, join(first, "folder")]) mkdirSync(folder);
for (const file of [join(first, "plain"), join(second, "plain"), join(second, "tool")])
  writeFileSync(file, "#!/bin/sh\n");
chmodSync(join(second, "plain"), 0o755);
chmodSync(join(second, "tool"), 0o755);
afterAll(() => rmSync(root, { recursive: true }));

test("the first that can be run, past files without that right and folders", () => {
  expect(findProgram("plain", `${first}:${second}`)).toBe(join(second, "plain"));
  expect(findProgram("folder", first)).toBeUndefined();
  expect(findProgram("nothing", `${first}:${second}`)).toBeUndefined();
});

test("a relative folder is not searched: there anybody may have put something", () => {
  expect(findProgram("tool", `:.:${relative(process.cwd(), second)}`)).toBeUndefined();
  expect(findProgram("tool", `.:${second}`)).toBe(join(second, "tool"));
});

test("a name with a slash is looked at where it says", () => {
  expect(findProgram(join(second, "tool"), "")).toBe(join(second, "tool"));
  expect(findProgram(join(first, "tool"), second)).toBeUndefined();
});
