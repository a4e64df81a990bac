import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { run } from "./exec.ts";
import { tar } from "./tar.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-tar-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("the system's tar lists and unpacks it without a complaint", async () => {
  const files = [
    { name: "a/empty", content: Buffer.alloc(0) },
    { name: "a/block", content: Buffer.alloc(512, "x") },
    { name: `a/${"n".repeat(98)}`, content: Buffer.from("longest name") },
  ];
  const archive = join(folder, "a.tar");
  writeFileSync(archive, tar(files, new Date("2026-01-02T03:04:05Z")));
  const { stdout, stderr } = await run("tar", ["-tvf", archive, "--utc"]);
  expect(stdout).toMatch(/^-rw------- 0\/0 +512 2026-01-02 03:04 a\/block$/m);
  expect(stderr).toBe("");
  await run("tar", ["-xf", archive, "-C", folder, "--no-same-owner"]);
  for (const { name, content } of files) expect(readFileSync(join(folder, name)).equals(content)).toBe(true);
  expect(() => tar([{ name: "n".repeat(101), content: Buffer.alloc(0) }], new Date())).toThrow(RangeError);
});
