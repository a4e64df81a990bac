import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { unlessMissing } from "./unless-missing.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-missing-"));
const file = join(folder, "file");
writeFileSync(file, "text");
afterAll(() => rmSync(folder, { recursive: true }));

test("gives what is there, and something else for what is not", async () => {
  expect(await unlessMissing(readFile(file, "utf8"), "none")).toBe("text");
  expect(await unlessMissing(readFile(join(folder, "other"), "utf8"), "none")).toBe("none");
  expect(await unlessMissing(readdir(join(folder, "other")), undefined)).toBeUndefined();
});

test("throws whatever else is wrong", async () => {
  await expect(unlessMissing(readFile(folder), "none")).rejects.toMatchObject({ code: "EISDIR" });
  expect(await unlessMissing(readdir(join(file, "below")), [], ["ENOENT", "ENOTDIR"])).toEqual([]);
  await expect(unlessMissing(readdir(join(file, "below")), [])).rejects.toMatchObject({ code: "ENOTDIR" });
  await expect(unlessMissing(Promise.reject(new Error("no errno")), "none")).rejects.toThrow("no errno");
});
