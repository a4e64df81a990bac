/** A full disk: a clear answer, no microVM kept alive by it, and everything in order once there is space again. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../../src/lib/exec.ts";
import { listVmms } from "../../src/vmm/process.ts";
import { createFakeBackend } from "../fixtures/fake-backend.ts";
import { fillDiskWith } from "../fixtures/fill-disk.ts";
import { startController, type TestController } from "../fixtures/controller.ts";

const vmm = createFakeBackend();
let dataDir: string;
let controller: TestController;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "sallyport-full-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=8m,mode=711", "sallyport-test", dataDir]);
  controller = await startController({ dataDir });
});
afterEach(async () => {
  await controller.stop();
  // Whatever a failed test left would keep the file system busy.
  for (const found of await listVmms(controller.microvms))
    await vmm.reopen({ ...found, paths: controller.paths.vm(found.vmId) }).kill();
  await run("umount", [dataDir]);
  await rm(dataDir, { recursive: true });
});

const fillDisk = async (): Promise<string> => {
  const file = join(dataDir, "filler");
  await fillDiskWith(file);
  return file;
};

test("a start is refused with 503 disk-full; a running microVM can be destroyed; with space the record is made good", async () => {
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const view of controller.client.events(sessionId)) if (view.state === "ready") break;
  const filler = await fillDisk();

  await expect(controller.client.start({ provider: "oidc" })).rejects.toMatchObject({ code: "disk-full", status: 503 });
  expect(await listVmms(controller.microvms)).toHaveLength(1);
  const outcome = await controller.client.destroy(sessionId).catch((error: unknown) => error);
  expect(await listVmms(controller.microvms)).toEqual([]);
  expect(await controller.network.found()).toEqual([]);

  await rm(filler);
  const receipt = outcome instanceof Error ? await controller.client.destroy(sessionId) : outcome;
  expect(receipt).toMatchObject({ body: { sessionId, outcome: "destroyed-by-request" } });
  expect(await controller.client.session(sessionId)).toMatchObject({ outcome: "destroyed-by-request", verdict: null });
  expect(await controller.client.vms()).toEqual([]);
  expect((await controller.client.reap({ dryRun: true })).found).toEqual([]);
});

test("a microVM that went while nothing could be written down is not shown as ready, and the answer says that it is gone", async () => {
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const view of controller.client.events(sessionId)) if (view.state === "ready") break;
  const presence = controller.network.presence.bind(controller.network);
  let isFull = true;
  const filler = await fillDisk();
  // Looked for when all was removed: what that freed is taken, too.
  controller.network.presence = async (nic) => {
    if (isFull) await fillDisk();
    return presence(nic);
  };
  await expect(controller.client.destroy(sessionId)).rejects.toMatchObject({
    code: "disk-full",
    hint: expect.stringContaining("the microVM is gone, and its receipt follows"),
  });
  expect(await listVmms(controller.microvms)).toEqual([]);
  const ending = { sessionId, state: "completing", outcome: "destroyed-by-request", hasReceipt: false };
  expect(await controller.client.sessions()).toMatchObject([ending]);
  expect(await controller.client.session(sessionId)).toMatchObject(ending);

  isFull = false;
  await rm(filler);
  expect(await controller.client.destroy(sessionId)).toMatchObject({ body: { outcome: "destroyed-by-request" } });
  expect(await controller.client.sessions()).toMatchObject([{ state: "destroyed", hasReceipt: true }]);
});
