import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "sallyport-daemon-"));
afterAll(() => rmSync(folder, { recursive: true }));

const START = `
const { openSync } = await import("node:fs");
const { startDaemon } = await import(process.argv[1]);
const argv = ["sh", "-c", "for n in 3 100 251; do echo $n: $(readlink /proc/$$/fd/$n); done"];
const { ended } = await startDaemon({ argv, logFile: process.argv[2], files: [openSync("/dev/zero", "r")] });
const stay = setInterval(() => {}, 1000);
await ended;
clearInterval(stay);
`;

test("a program has the files that it was given, and none that somebody left open", async () => {
  const log = join(folder, "log");
  const left = openSync("/", "r");
  const stdio: (number | "ignore" | "inherit")[] = ["ignore", "inherit", "inherit"];
  for (const number of [100, 251]) {
    while (stdio.length < number) stdio.push("ignore");
    stdio[number] = left;
  }
  const args = ["--input-type=module", "--eval", START, join(import.meta.dirname, "daemon.ts"), log];
  const [code] = await once(spawn(process.execPath, args, { stdio }), "exit");
  closeSync(left);
  expect(code).toBe(0);
  expect(readFileSync(log, "utf8")).toBe("3: /dev/zero\n100: /dev/null\n251: /dev/null\n");
});
