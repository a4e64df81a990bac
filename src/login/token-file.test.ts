import { mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { checkTokenFile } from "./token-file.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-tokens-"));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

const file = join(folder, "tokens.json");
writeFileSync(file, "{}");

test("a file of one's own, and one that is not there yet, can be written", async () => {
  await checkTokenFile(file);
  await checkTokenFile(join(folder, "new.json"));
});

test("a file of another user is refused before anybody signs in", async () => {
  vi.spyOn(process, "getuid").mockReturnValue(statSync(file).uid + 1);
  await expect(checkTokenFile(file)).rejects.toMatchObject({
    code: "token-file-unusable",
    message: expect.stringContaining("it belongs to another user"),
  });
});

test("neither is written through a link, nor into a folder that is not there", async () => {
  symlinkSync(file, join(folder, "link"));
  for (const name of ["link", "none/tokens.json"])
    await expect(checkTokenFile(join(folder, name))).rejects.toMatchObject({ code: "token-file-unusable" });
});
