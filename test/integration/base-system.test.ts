/** What mmdebstrap is told, by one that writes it down. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { makeBaseSystem } from "../../src/image/base-system.ts";
import { hostDistribution } from "../../src/image/apt-sources.ts";

test("the host's archives, whose addresses may hold a password, are on no command line", async () => {
  const workDir = await mkdtemp(join(tmpdir(), "sallyport-base-"));
  const path = process.env.PATH;
  onTestFinished(async () => {
    process.env.PATH = path;
    await rm(workDir, { recursive: true });
  });
  const recorder = `#!/bin/sh\nprintf '%s\\n' "$@" > ${workDir}/argv\ncat > ${workDir}/input\n`;
  await writeFile(join(workDir, "mmdebstrap"), recorder, { mode: 0o755 });
  process.env.PATH = `${workDir}:${path}`;
  const { id, codename } = hostDistribution();
  const base = { distribution: id as "debian", suite: codename, packages: ["hello"], initramfs: [] };
  const signal = AbortSignal.timeout(30_000);
  await makeBaseSystem(base, { tree: join(workDir, "tree"), workDir, signal, report: () => {} });
  const argv = (await readFile(join(workDir, "argv"), "utf8")).trim().split("\n");
  expect(argv.slice(-3)).toEqual([codename, join(workDir, "tree"), "-"]);
  expect(argv.filter((argument) => argument.includes("://"))).toEqual([]);
  expect(await readFile(join(workDir, "input"), "utf8")).toMatch(/^deb .*:\/\//);
});
