import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { specOf } from "../../../test/fixtures/spec.ts";
import type { Execute } from "./qmp.ts";
import { closeFrozen } from "../frozen.ts";
import { loadState, makeSnapshotFiles, saveState } from "./snapshot.ts";

/** Answers each `query-migrate` with the next of `statuses`. */
const qemu = (...statuses: { status?: string; "error-desc"?: string }[]) => {
  const asked: unknown[] = [];
  const execute: Execute = async (command, args) => {
    if (command === "query-migrate") return statuses.shift() ?? {};
    asked.push([command, args]);
    return {};
  };
  return { asked, execute };
};

describe("a machine's state", () => {
  test("is saved from a machine that stands still, its memory left where it is, and is there when the wait ends", async () => {
    const { asked, execute } = qemu({}, { status: "setup" }, { status: "active" }, { status: "completed" });
    await saveState(execute);
    expect(asked).toEqual([
      ["stop", undefined],
      ["migrate-set-capabilities", { capabilities: [{ capability: "x-ignore-shared", state: true }] }],
      ["migrate", { uri: "file:/snapshot/state" }],
    ]);
  });

  test.each([
    ["saved", saveState, "migrate"],
    ["loaded", loadState, "migrate-incoming"],
  ] as const)("that could not be %s is told with QEMU's words", async (_, work, command) => {
    const { execute } = qemu({ status: "active" }, { status: "failed", "error-desc": "No space\nleft" });
    await expect(work(execute)).rejects.toMatchObject({
      code: "vmm-refused",
      message: expect.stringMatching(new RegExp(`^QEMU refused ${command}: No space.*left$`)),
    });
  });
});

test("a snapshot's files are its VMM's to write until they are closed, and then nobody's, with no space taken before", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sallyport-snapshot-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await makeSnapshotFiles(folder, specOf({ uid: 54_321, memoryMib: 512 }));
  const memory = join(folder, "memory");
  expect(await stat(memory)).toMatchObject({ uid: 54_321, mode: 0o100600, size: 512 * 1024 * 1024, blocks: 0 });
  expect(await readFile(join(folder, "state"), "utf8")).toBe("");
  await expect(makeSnapshotFiles(folder, specOf()), "over another").rejects.toMatchObject({ code: "EEXIST" });
  await closeFrozen(folder);
  for (const name of ["memory", "state"]) {
    expect(await stat(join(folder, name))).toMatchObject({ uid: 0, gid: 0, mode: 0o100444 });
  }
});
