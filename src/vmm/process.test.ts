import { expect, test } from "vitest";
import { exitIn, markedVm } from "./process.ts";

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
