/** The machine that other tests count on, when it is none. */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findImage } from "../conformance/real-machine.ts";
import { takeLock } from "../host/lock.ts";
import { startTestHost } from "../host/machine.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-host-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("a test host that does not come up is a failure with the end of its console, and leaves nothing running", async () => {
  const empty = join(folder, "empty");
  await writeFile(empty, "");
  await truncate(empty, 1024 * 1024);
  const host = join(folder, "host");
  const started = startTestHost({
    image: { ...(await findImage()), rootfs: empty },
    workDisk: empty,
    folder: host,
    memoryMib: 256,
    signal: AbortSignal.timeout(4 * 60_000),
  });
  await expect(started).rejects.toMatchObject({ code: "test-host-down", message: expect.stringContaining("/dev/vda") });
  // Its machine would have it.
  await (await takeLock(`${host}.lock`)).close();
});
