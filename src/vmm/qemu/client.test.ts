import { mkdtemp, mkdir, rm } from "node:fs/promises";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { vmPaths, type VmPaths } from "../../lib/paths.ts";
import { askQemu, untilQemuAnswers } from "./client.ts";
import { socketsOf } from "./sockets.ts";

let root: string;
let paths: VmPaths;
let server: Server;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "sallyport-qemu-"));
  paths = vmPaths(root, "/sallyport-test/none");
  await mkdir(dirname(socketsOf(paths).control), { recursive: true });
});
afterEach(async () => {
  server.close();
  await rm(root, { recursive: true });
});

const listen = async (made: Server): Promise<void> => {
  server = made.listen(socketsOf(paths).control);
  await once(server, "listening");
};

/** Each of its words comes after `delayMs`; says `status` when it is asked how its machine is. */
const qemu = (status: string, delayMs = 0): Promise<void> =>
  listen(
    createServer((socket) => {
      const say = async (words: object) => {
        await sleep(delayMs);
        if (socket.writable) socket.write(`${JSON.stringify(words)}\n`);
      };
      void say({ QMP: { version: { qemu: {} } } });
      socket
        .on("error", () => {})
        .on("data", (line) => {
          const { execute, id } = JSON.parse(line.toString());
          void say({ id, return: execute === "query-status" ? { status } : {} });
        });
    }),
  );

test("whoever waits for a QEMU that accepts and says nothing can be told to stop", async () => {
  const stop = new AbortController();
  await listen(createServer(() => stop.abort(new Error("enough"))));
  await expect(untilQemuAnswers(paths, 15_000, stop.signal)).rejects.toThrow("enough");
});

test("a QEMU that takes most of the time for each of its words has one time for all of them", async () => {
  await qemu("running", 300);
  await expect(askQemu(paths, 500)).rejects.toMatchObject({ code: "vmm-silent" });
  expect(await askQemu(paths, 15_000)).toBe("running");
});

test.each([
  ["prelaunch", "paused"],
  ["shutdown", "shutdown"],
  ["constructor", "other"],
  ["__proto__", "other"],
])("a QEMU that says %s: %s", async (said, status) => {
  await qemu(said);
  expect(await askQemu(paths, 15_000)).toBe(status);
});
