/** The controller dies at any line: the next one adopts what lives and removes the rest. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DatabaseSync } from "node:sqlite";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { listVmms } from "../../src/vmm/process.ts";
import { startController, type TestController } from "../fixtures/controller.ts";
import { createNamespace, fixture, NODE } from "../fixtures/namespace.ts";
import { KINDS_OF_A_FAKE, kindsOf } from "../fixtures/receipt.ts";

/** A controller on the data directory of one that was killed at this point, run by `runner`; and the session that it had. */
const after = async (
  point: string,
  runner: string[] = [],
): Promise<{ controller: TestController; sessionId: string }> => {
  const dataDir = await mkdtemp(join(tmpdir(), "sallyport-crash-"));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const [program, ...args] = [...runner, NODE, fixture("crash-at.ts"), dataDir, point];
  const signal = await new Promise((resolve) => {
    execFile(program, args, { timeout: 40_000 }, (error) => resolve(error?.signal));
  });
  expect(signal).toBe("SIGKILL");
  const db = new DatabaseSync(dataPaths(dataDir).database);
  const sessionId = String(db.prepare("SELECT id FROM sessions").get()?.["id"]);
  db.close();
  const controller = await startController({ dataDir });
  return { controller, sessionId };
};

const expectNothingLeft = async (controller: TestController): Promise<void> => {
  expect(await controller.client.vms()).toEqual([]);
  expect(await listVmms(controller.microvms)).toEqual([]);
  expect((await controller.client.reap({ dryRun: true })).found).toEqual([]);
};

test.each(["prepare", "acquired", "spawned", "recorded", "joined"])(
  "killed at %s, before its machine ran: the session fails, and nothing is left",
  async (point) => {
    const { controller, sessionId } = await after(point);
    onTestFinished(() => controller.stop());
    const judged = async () => (await controller.client.session(sessionId)).verdict ?? undefined;
    await poll(judged, { what: "the verdict", timeoutMs: 20_000, intervalMs: 50 });
    const { body } = await controller.client.destroy(sessionId);
    expect(body.gone.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["lease", "directory"]));
    expect((await controller.client.session(sessionId)).verdict).toMatchObject({ code: "interrupted" });
    await expectNothingLeft(controller);
  },
);

test("killed when its machine ran: it is adopted and becomes ready", async () => {
  const { controller, sessionId } = await after("started");
  onTestFinished(() => controller.stop());
  let last = "";
  for await (const { state } of controller.client.events(sessionId)) {
    last = state;
    if (state === "ready") break;
  }
  expect(last).toBe("ready");
  await controller.client.destroy(sessionId);
  await expectNothingLeft(controller);
});

test("killed in the middle of a removal: the next one ends it", async () => {
  const { controller, sessionId } = await after("remove");
  onTestFinished(() => controller.stop());
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
  await expectNothingLeft(controller);
});

test("one that sees no control groups has them mounted for itself: its microVM's is found by the next", async () => {
  // `ip netns exec` gives its program another /sys, with nothing mounted below it.
  const elsewhere = await createNamespace("crash");
  onTestFinished(() => elsewhere.remove());
  const { controller, sessionId } = await after("started", ["ip", "netns", "exec", elsewhere.name]);
  onTestFinished(() => controller.stop());
  expect(kindsOf(await controller.client.destroy(sessionId))).toEqual(KINDS_OF_A_FAKE);
  await expectNothingLeft(controller);
});
