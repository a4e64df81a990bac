/** Whoever can write in the data directory chooses the operator's key: the controller believes no directory that is not its own. */
import {
  chmodSync,
  lchownSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { dataPaths } from "../../src/lib/paths.ts";
import { startController } from "../fixtures/controller.ts";

const NOBODY = 65_534;
let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), "sallyport-data-"));
});
afterEach(() => {
  for (const path of [dataDir, `${dataDir}.real`]) rmSync(path, { recursive: true, force: true });
});

const moveAside = (path: string): void => {
  renameSync(path, `${dataDir}.real`);
  symlinkSync(`${dataDir}.real`, path);
};

test.each<[string, (path: string) => void]>([
  ["somebody else's", (path) => lchownSync(path, NOBODY, NOBODY)],
  ["writable by everybody", (path) => chmodSync(path, 0o777)],
  ["writable by everybody, and sticky", (path) => chmodSync(path, 0o1777)],
  ["writable by a group", (path) => chmodSync(path, 0o770)],
  ["a link", moveAside],
])("a data directory that is %s is refused before anything is made in it", async (_what, spoil) => {
  spoil(dataDir);
  await expect(startController({ dataDir })).rejects.toMatchObject({ code: "path-not-ours", exitCode: 3 });
  expect(readdirSync(dataDir)).toEqual(["config.yaml"]);
});

describe.each(["adminKey", "receiptKey"] as const)("%s", (name) => {
  test.each<[string, (path: string) => void]>([
    ["somebody else's", (path) => lchownSync(path, NOBODY, NOBODY)],
    ["writable by everybody", (path) => chmodSync(path, 0o666)],
    ["a link to a file of root's", moveAside],
  ])("that is %s is refused", async (_what, spoil) => {
    const file = dataPaths(dataDir)[name];
    writeFileSync(file, "sally_chosen_by_somebody_else\n", { mode: 0o600 });
    spoil(file);
    const message = expect.stringContaining(file) as string;
    await expect(startController({ dataDir })).rejects.toMatchObject({ code: "path-not-ours", message });
  });
});

test.each(["/proc/sallyport", "/etc/hostname/sallyport"])(
  "a data directory that cannot be made is a sentence and no bug: %s",
  async (path) => {
    await expect(startController({ dataDir, config: { dataDir: path } })).rejects.toMatchObject({
      code: "data-dir-unusable",
      exitCode: 2,
      message: expect.stringContaining(path),
    });
  },
);
