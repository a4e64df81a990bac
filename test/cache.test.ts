import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { testCache } from "./cache.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-cache-"));
beforeAll(() => void vi.stubEnv("SALLYPORT_TEST_CACHE", undefined));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

test("the tests' folder of images is ours, or none is used", () => {
  const usual = join(folder, "usual");
  expect(testCache(usual)).toBe(usual);
  expect(testCache(usual)).toBe(usual);
  symlinkSync(usual, join(folder, "link"));
  mkdirSync(join(folder, "open"));
  chmodSync(join(folder, "open"), 0o777);
  for (const name of ["link", "open"])
    expect(() => testCache(join(folder, name))).toThrow(/is a symbolic link|may be written by others/);
});
