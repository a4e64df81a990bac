/**
 * What hostile guests cost the controller: `node test/bench/guest-cost.ts [seconds]` prints, per kind of flood, its share of a processor,
 * the longest time that nothing else was done, and how the channel took it. Not a test: it depends on the machine.
 */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker, isMainThread, workerData } from "node:worker_threads";
import { openSocket } from "../../src/lib/open-stream.ts";
import { connectChannel } from "../../src/channel/connect.ts";
import { createConsoleParser } from "../../src/diagnosis/console-facts.ts";
import { messageOf } from "../../src/lib/errors.ts";

const FLOODS: Record<string, string> = {
  nothing: "",
  "empty lines": "\n".repeat(65_536),
  "131 000 brackets": `${"[".repeat(131_000)}\n`,
  "20 000 keys": `{${Array.from({ length: 20_000 }, (_, i) => `"k${i}":1`).join()}}\n`,
  "a line without end": "a".repeat(65_536),
};
const CONSOLES: Record<string, string> = {
  "a healthy boot's":
    "[\u001b[0;32m  OK  \u001b[0m] Started \u001b[0;1;39ma.service\u001b[0m - A.\r\n[   22.2] a[322]: b.\r\n",
  "empty lines": "\n",
  "escape sequences": "\u001b[m",
  "failed units": "[FAILED] Failed to start a\n",
};

/** The guest, in a thread of its own: its time is not the controller's. */
const flood = (path: string, text: string): void => {
  const bytes = Buffer.from(text);
  createServer((socket) => {
    const more = (): void => void (socket.destroyed || bytes.length === 0 || socket.write(bytes, more));
    socket.on("error", () => {}).resume();
    more();
  }).listen(path);
};

const measure = async (name: string, seconds: number): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), "guest-cost-"));
  const path = join(folder, "channel.sock");
  const guest = new Worker(new URL(import.meta.url), { workerData: { path, text: FLOODS[name] } });
  await once(guest, "online");
  const channel = connectChannel({ open: openSocket(path) });
  const before = process.threadCpuUsage();
  let longestMs = 0;
  for (let at = performance.now(), until = at + seconds * 1000; at < until; at = performance.now()) {
    await sleep(10);
    longestMs = Math.max(longestMs, performance.now() - at - 10);
  }
  const { user, system } = process.threadCpuUsage(before);
  const end = await channel.call("health", {}, { timeoutMs: 100 }).then(String, messageOf);
  const percent = (user + system) / (seconds * 10_000);
  console.log(
    `${name.padEnd(20)} ${percent.toFixed(1)} %, ${longestMs.toFixed(0)} ms, ${channel.traffic.bytes} bytes: ${end}`,
  );
  channel.close();
  await guest.terminate();
  await rm(folder, { recursive: true });
};

const main = async (seconds: number): Promise<void> => {
  for (const name of Object.keys(FLOODS)) await measure(name, seconds);
  for (const [name, line] of Object.entries(CONSOLES)) {
    const pieces = Array.from({ length: 14 }, () => line.repeat(65_536 / line.length));
    const startedAt = performance.now();
    const parser = createConsoleParser();
    for (const piece of pieces) parser.push(piece);
    parser.facts(0, 0);
    console.log(`console of ${name}: ${(performance.now() - startedAt).toFixed(1)} ms for 900 KiB`);
  }
};

if (isMainThread) void main(Number(process.argv[2] ?? 20));
else flood(workerData.path, workerData.text);
