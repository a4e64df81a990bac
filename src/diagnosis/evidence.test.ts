import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dataPaths, type DataPaths } from "../lib/paths.ts";
import { keepEvidence, readEvidence, type EvidenceInput } from "./evidence.ts";

let paths: DataPaths;
let input: EvidenceInput;
beforeEach(() => {
  paths = dataPaths(mkdtempSync(join(tmpdir(), "sallyport-evidence-")));
  const nothing = { stages: [], verdict: null, facts: null, diagnosis: null, config: {}, versions: {} };
  input = { about: { round: 1 }, vm: paths.vm("vm"), ...nothing };
  mkdirSync(input.vm.root, { recursive: true });
});
afterEach(() => rmSync(paths.root, { recursive: true }));

const kept = async (name: string): Promise<string | undefined> =>
  (await readEvidence(paths, "ses_1"))?.find((file) => file.name === name)?.content.toString();

test("is kept whole, over what was kept before, and nothing beside it stays", async () => {
  writeFileSync(input.vm.console, "Linux version 6\n");
  await keepEvidence(paths, "ses_1", input);
  await keepEvidence(paths, "ses_1", { ...input, about: { round: 2 } });
  expect(await kept("about.json")).toContain("2");
  expect(await readdir(dirname(paths.evidence("ses_1")))).toEqual(["ses_1"]);
});

test("with a console is not replaced by one without: the microVM's folder was gone by then", async () => {
  writeFileSync(input.vm.console, "Linux version 6\n");
  await keepEvidence(paths, "ses_1", input);
  rmSync(input.vm.console);
  await keepEvidence(paths, "ses_1", { ...input, about: { round: 2 } });
  expect(await kept("about.json")).toContain("1");
  expect(await kept("console.log")).toBe("Linux version 6\n");
});

test("of a file that cannot be read is that it cannot, and the rest is kept", async () => {
  mkdirSync(input.vm.console);
  writeFileSync(input.vm.vmmLog, "its last words\n");
  await keepEvidence(paths, "ses_1", input);
  expect(await kept("console.log")).toMatch(/^\[sallyport: not to be read: EISDIR/);
  expect(await kept("vmm.log")).toBe("its last words\n");
});

test("that cannot be written whole is not there at all", async () => {
  mkdirSync(dirname(paths.evidence("ses_1")));
  writeFileSync(paths.evidence("ses_1"), "a file where the folder has to be");
  await expect(keepEvidence(paths, "ses_1", input)).rejects.toThrow(/ENOTDIR|not a directory/);
  expect(await readdir(dirname(paths.evidence("ses_1")))).toEqual(["ses_1"]);
});
