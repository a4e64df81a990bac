import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../lib/daemon.ts";
import { vmPaths } from "../lib/paths.ts";
import { killProcess } from "../lib/process.ts";
import { exitIn, handleOf, microvmIn } from "./process.ts";

test.each([
  ["its own", "/sallyport-1a/abc", "abc"],
  ["one inside it", "/sallyport-1a/abc/def", "abc"],
  ["one of another data directory", "/sallyport-1b/abc", undefined],
  ["one whose name only begins like it", "/sallyport-1abc/def", undefined],
  ["the parent itself", "/sallyport-1a", undefined],
  ["no microVM's name", "/sallyport-1a/../abc", undefined],
  ["none at all", "", undefined],
])("microvmIn: %s", (_, path, expected) => {
  expect(microvmIn(path, "/sallyport-1a")).toBe(expected);
});

test("exitIn reads how it ended, the last time, and nothing out of what the VMM itself wrote in the middle of a line", () => {
  expect(exitIn("qemu: out of memory\nsallyport: the VMM was ended by SIGKILL\n")).toBe("was ended by SIGKILL");
  expect(exitIn("qemu: sallyport: the VMM ended with code 0\n")).toBeNull();
  expect(exitIn("")).toBeNull();
  // A VMM that was taken over can cut its log and begin it anew.
  expect(exitIn("sallyport: the VMM was ended by SIGKILL\n", true)).toBeNull();
});

test("the recorded process is found and ended also while it is not the microVM's user's: it is root's for an instant", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-vmm-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { identity, ended } = await startDaemon({ argv: ["sleep", "600"], logFile: join(folder, "log") });
  onTestFinished(() => killProcess("The process of this test", identity));
  // A user whom no process has.
  const handle = handleOf({
    vmId: "abc",
    paths: vmPaths(folder, "/sallyport-test/none"),
    uid: 3_999_999_999,
    process: identity,
  });
  expect(await handle.processes()).toEqual([identity]);
  expect(await handle.left()).toContainEqual({ kind: "process", ref: String(identity.pid) });
  await handle.kill();
  expect(await ended).toMatchObject({ signal: "SIGKILL" });
  expect(await handle.processes()).toEqual([]);
});
