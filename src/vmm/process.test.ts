import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startDaemon } from "../lib/daemon.ts";
import { vmPaths } from "../lib/paths.ts";
import { killProcess } from "../lib/process.ts";
import { exitIn, handleOf, markedVm } from "./process.ts";

const qemu = (vmId: string, path: string) => ["qemu", "-name", `sallyport-${vmId}`, "-qmp", `unix:${path},server=on`];

test.each([
  ["its own", qemu("abc", "/data/vms/abc/run/qmp.sock"), "abc"],
  ["one of another data directory", qemu("abc", "/other/vms/abc/run/qmp.sock"), undefined],
  ["one whose path is of another microVM", qemu("abc", "/data/vms/abcd/run/qmp.sock"), undefined],
  ["a name without a path", ["qemu", "-name", "sallyport-abc"], undefined],
  ["a path without a name", ["less", "/data/vms/abc/console.log"], undefined],
  ["a name that is a path", qemu("../etc", "/data/vms/../etc/run/qmp.sock"), undefined],
  ["an empty name", qemu("", "/data/vms//run/qmp.sock"), undefined],
  ["no arguments, as of a kernel thread", [""], undefined],
])("markedVm: %s", (_, args, expected) => {
  expect(markedVm(args, "/data/vms")).toBe(expected);
  expect(markedVm(args, "/data/vms/")).toBe(expected);
});

test("exitIn reads how it ended, the last time, and nothing out of what the VMM itself wrote in the middle of a line", () => {
  expect(exitIn("qemu: out of memory\nsallyport: the VMM was ended by SIGKILL\n")).toBe("was ended by SIGKILL");
  expect(exitIn("qemu: sallyport: the VMM ended with code 0\n")).toBeNull();
  expect(exitIn("")).toBeNull();
});

test("the recorded process is found and ended also while it is not the microVM's user's: it is root's for an instant", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-vmm-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const { identity, ended } = await startDaemon({ argv: ["sleep", "600"], logFile: join(folder, "log") });
  onTestFinished(() => killProcess("The process of this test", identity));
  // A user whom no process has.
  const handle = handleOf({ vmId: "abc", paths: vmPaths(folder), uid: 3_999_999_999, process: identity });
  expect(await handle.processes()).toEqual([identity]);
  expect(await handle.left()).toContainEqual({ kind: "process", ref: String(identity.pid) });
  await handle.kill();
  expect(await ended).toBe("was ended by SIGKILL");
  expect(await handle.processes()).toEqual([]);
});
