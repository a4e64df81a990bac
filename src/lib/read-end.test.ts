import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { readEnd } from "./read-end.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-end-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the last bytes and no more, however long the file is; nothing of one that is not there", async () => {
  const file = join(folder, "log");
  writeFileSync(file, `${"x".repeat(100_000)}the end`);
  expect(await readEnd(file, 7)).toBe("the end");
  writeFileSync(file, "short");
  expect(await readEnd(file, 1000)).toBe("short");
  expect(await readEnd(join(folder, "none"), 10)).toBeUndefined();
});
