import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { writeFileAtomically } from "./atomic-file.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-atomic-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

test("what was there is replaced whole, with the mode asked for and nothing left beside it", () => {
  const file = join(folder, "key");
  writeFileSync(file, "a longer text than the new one", { mode: 0o644 });
  writeFileAtomically(file, "new");
  expect(readFileSync(file, "utf8")).toBe("new");
  expect(lstatSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(folder)).toEqual(["key"]);
});

test("a link in its place is replaced and not followed", () => {
  writeFileSync(join(folder, "victim"), "untouched");
  symlinkSync(join(folder, "victim"), join(folder, "key"));
  writeFileAtomically(join(folder, "key"), Buffer.from("new"));
  expect(readFileSync(join(folder, "victim"), "utf8")).toBe("untouched");
  expect(lstatSync(join(folder, "key")).isFile()).toBe(true);
});

test("a write that fails leaves what was there, and nothing beside it", () => {
  mkdirSync(join(folder, "key"));
  expect(() => writeFileAtomically(join(folder, "key"), "new")).toThrow(/EISDIR/);
  expect(readdirSync(folder)).toEqual(["key"]);
});
