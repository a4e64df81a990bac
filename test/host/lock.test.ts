import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { takeLock } from "./lock.ts";
import { startTestHost } from "./machine.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-lock-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("a second host is refused for as long as the first one's machine lives, and what started it may be gone", async () => {
  const path = join(folder, "host.lock");
  const lock = await takeLock(path);
  await expect(takeLock(path)).rejects.toMatchObject({ code: "test-host-runs" });
  const machine = spawn("sleep", ["60"], { stdio: ["ignore", "ignore", "ignore", lock.fd] });
  await lock.close();
  await expect(takeLock(path)).rejects.toMatchObject({ code: "test-host-runs" });
  machine.kill("SIGKILL");
  await once(machine, "close");
  await (await takeLock(path)).close();
});

test("what a running host has in its folder stays when another one is started there, which is told so", async () => {
  const host = join(folder, "host");
  await using _ = await takeLock(`${host}.lock`);
  await mkdir(host);
  await writeFile(join(host, "run.0"), "");
  const [image, signal] = [{ vmlinux: "/none", initrd: "/none", rootfs: "/none" }, AbortSignal.timeout(5_000)];
  const started = startTestHost({ image, workDisk: "/none", folder: host, memoryMib: 64, signal });
  await expect(started).rejects.toMatchObject({
    code: "test-host-runs",
    message: expect.stringContaining("runs already"),
  });
  expect(await readdir(host)).toEqual(["run.0"]);
});

test("one that was ended is gone, also where its machine outlives the program that started it for a moment", async () => {
  const host = join(folder, "slow");
  const [image, signal] = [{ vmlinux: "/none", initrd: "/none", rootfs: "/none" }, AbortSignal.timeout(500)];
  const emulator = ["bash", "-c", "setsid sleep 2 & wait"];
  const started = startTestHost({ image, workDisk: "/none", folder: host, memoryMib: 64, emulator, signal });
  await expect(started).rejects.toMatchObject({ name: "TimeoutError" });
  await (await takeLock(`${host}.lock`)).close();
});
