import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { vmPaths, type VmPaths } from "../lib/paths.ts";
import { inChroot } from "./firecracker/chroot.ts";
import { untilFirecrackerAnswers } from "./firecracker/start.ts";
import { untilQemuAnswers } from "./qemu/client.ts";
import { socketsOf } from "./qemu/sockets.ts";

const MS = 200;
const NEVER = new AbortController().signal;
const firecracker = {
  name: "Firecracker",
  ask: (paths: VmPaths) => untilFirecrackerAnswers(paths, MS, NEVER),
  socketOf: (paths: VmPaths) => inChroot(paths, "apiSocket"),
};
const qemu = {
  name: "QEMU",
  ask: (paths: VmPaths) => untilQemuAnswers(paths, MS, NEVER),
  socketOf: (paths: VmPaths) => socketsOf(paths).control,
};

test.each([
  { ...firecracker, what: "has no socket" },
  { ...firecracker, what: "says nothing" },
  { ...qemu, what: "has no socket" },
  { ...qemu, what: "says nothing" },
])("a start is told of $name that $what, in the same words of both", async ({ name, ask, socketOf, what }) => {
  const root = mkdtempSync(join(tmpdir(), "sp-silent-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const paths = vmPaths(root, "/sallyport-test/abc");
  if (what === "says nothing") {
    mkdirSync(dirname(socketOf(paths)), { recursive: true });
    const server = createServer((socket) => void socket.on("error", () => {})).listen(socketOf(paths));
    onTestFinished(() => void server.close());
  }
  await expect(ask(paths)).rejects.toMatchObject({
    kind: "timeout",
    code: "vmm-silent",
    message: `${name} gave no answer to what it was asked within 0.2 s.`,
    hint: expect.stringMatching(/overloaded.*vmm\.log/),
  });
});
