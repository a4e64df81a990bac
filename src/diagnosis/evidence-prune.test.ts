import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { dataPaths, type DataPaths } from "../lib/paths.ts";
import { pruneEvidence } from "./evidence-prune.ts";

let root: string;
let paths: DataPaths;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sallyport-prune-"));
  paths = dataPaths(root);
});
afterEach(() => rmSync(root, { recursive: true }));

const keep = (sessionId: string, daysAgo: number, kib: number): void => {
  const folder = paths.evidence(sessionId);
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "console.log");
  writeFileSync(file, Buffer.alloc(kib * 1024, "x"));
  const when = new Date(Date.now() - daysAgo * 86_400_000);
  utimesSync(file, when, when);
  utimesSync(folder, when, when);
};

test("what is too old goes, however small", async () => {
  keep("ses_old", 8, 1);
  keep("ses_new", 6, 1);
  expect(await pruneEvidence(paths, { keepDays: 7, maxMib: 1024 })).toEqual(["ses_old"]);
  expect(existsSync(paths.evidence("ses_old"))).toBe(false);
  expect(existsSync(paths.evidence("ses_new"))).toBe(true);
});

test("what is too much goes, the oldest first and no more than needed", async () => {
  keep("ses_c", 1, 600);
  keep("ses_a", 3, 600);
  keep("ses_b", 2, 600);
  expect(await pruneEvidence(paths, { keepDays: 7, maxMib: 1 })).toEqual(["ses_a", "ses_b"]);
  expect(await pruneEvidence(paths, { keepDays: 7, maxMib: 1 })).toEqual([]);
});

test("nothing was ever kept", async () => {
  expect(await pruneEvidence(paths, { keepDays: 7, maxMib: 1 })).toEqual([]);
});

test("what is not ours, a link that leads nowhere and a clock that was wrong keep nothing from being pruned", async () => {
  keep("ses_future", -365, 600);
  keep("ses_now", 0, 600);
  keep("notes", 30, 1);
  symlinkSync("/nowhere", join(paths.evidence("ses_now"), "link"));
  symlinkSync("/nowhere", join(root, "evidence", "ses_link"));
  expect(await pruneEvidence(paths, { keepDays: 7, maxMib: 1 })).toEqual(["ses_future"]);
  expect(existsSync(paths.evidence("ses_now"))).toBe(true);
  expect(existsSync(paths.evidence("notes"))).toBe(true);
});
