import { execFileSync } from "node:child_process";
import { mkdtemp, open, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { poll } from "../lib/wait.ts";
import { createPort, type Port } from "./port.ts";
import { pumpVirtioPort } from "./virtio-port.ts";

let folder: string;
let port: Port;
let lines: string[];
let fromGuest: FileHandle;

const toGuest = async (): Promise<FileHandle> => open(join(folder, "to-guest"), "w");

const hasLines = async (count: number): Promise<true> =>
  poll(async () => lines.length >= count || undefined, { what: "lines", timeoutMs: 10_000, intervalMs: 10 });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "port-"));
  execFileSync("mkfifo", [join(folder, "to-guest"), join(folder, "from-guest")]);
  lines = [];
  port = createPort({
    openDevice: async (listener) =>
      pumpVirtioPort({
        input: await open(join(folder, "to-guest"), "r"),
        output: await open(join(folder, "from-guest"), "w"),
        log: () => {},
        ...listener,
      }),
    onLine: (line) => lines.push(line),
    log: () => {},
  });
});

afterEach(async () => {
  await fromGuest.close();
  await port.close();
  await rm(folder, { recursive: true });
});

test("goes on after the host's end was closed, and forgets half a line", async () => {
  const first = await toGuest();
  fromGuest = await open(join(folder, "from-guest"), "r");
  await first.write("one\nhal");
  await hasLines(1);
  await first.close();
  // The port looks again every 100 ms while nobody is there.
  await new Promise((resolve) => setTimeout(resolve, 400));
  const second = await toGuest();
  await second.write("two\n");
  await hasLines(2);
  await second.close();
  expect(lines).toEqual(["one", "two"]);
});

test("keeps the newest lines while the host does not read", async () => {
  const host = await toGuest();
  fromGuest = await open(join(folder, "from-guest"), "r");
  const count = 3000;
  for (let i = 0; i < count; i++) port.send(`${i} ${"x".repeat(1000)}`);
  let text = "";
  while (!text.includes(`\n${count - 1} `)) {
    text += (await fromGuest.read(Buffer.alloc(65_536), 0, 65_536, null)).buffer.toString("utf8").replaceAll("\0", "");
  }
  expect(text.length).toBeLessThan(1.2 * 1024 * 1024);
  expect(text.startsWith("\n")).toBe(true);
  await host.close();
});
