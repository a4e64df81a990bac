import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { vmPaths } from "../lib/paths.ts";
import { startedVersion, writeStarted } from "./started.ts";
import type { MicrovmSpec } from "./vmm.ts";

test("which version was started is known by what was written before its start, and by nothing else", async () => {
  const root = mkdtempSync(join(tmpdir(), "sp-started-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const paths = vmPaths(root, "/sallyport-test/abc");
  expect(await startedVersion(paths)).toBeUndefined();
  await writeStarted({ paths } as MicrovmSpec, "1.12.1", { argv: ["vmm"] });
  expect(await startedVersion(paths)).toBe("1.12.1");
  expect(statSync(paths.config).mode & 0o777).toBe(0o600);
  writeFileSync(paths.config, '{"spec":');
  expect(await startedVersion(paths)).toBeUndefined();
});
