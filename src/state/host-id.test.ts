import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadHostId } from "./host-id.ts";

test("a host has one id for good, and none is made up for a file that cannot be read", () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-host-"));
  const file = join(folder, "host-id");
  const id = loadHostId(file);
  expect(id).toMatch(/^hst_[0-9a-z]{12}$/);
  expect(loadHostId(file)).toBe(id);
  expect(loadHostId(join(folder, "other"))).not.toBe(id);
  writeFileSync(file, "hst_../../etc\n");
  expect(() => loadHostId(file)).toThrow(expect.objectContaining({ code: "host-id-unusable" }));
  rmSync(folder, { recursive: true });
});
