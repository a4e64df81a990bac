/** The controller dies at any line: the next one adopts what lives and removes the rest. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { DatabaseSync } from "node:sqlite";
import { dataPaths } from "../../src/lib/paths.ts";
import { startController, type TestController } from "../fixtures/controller.ts";
import { createFakeBackend } from "../fixtures/fake-backend.ts";
import { fixture, NODE } from "../fixtures/namespace.ts";

const backend = createFakeBackend();

/** A controller on the data directory of one that was killed at this point; and the session that it had. */
const after = async (point: string): Promise<{ controller: TestController; sessionId: string }> => {
  const dataDir = await mkdtemp(join(tmpdir(), "sallyport-crash-"));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const signal = await new Promise((resolve) => {
    execFile(NODE, [fixture("crash-at.ts"), dataDir, point], { timeout: 40_000 }, (error) => resolve(error?.signal));
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
  expect(await backend.list(controller.microvms)).toEqual([]);
  expect((await controller.client.reap({ dryRun: true })).found).toEqual([]);
};

test.each(["network", "prepare", "joined", "acquired", "spawned"])(
  "killed at %s, before its VMM was recorded: the session fails, and nothing is left",
  async (point) => {
    const { controller, sessionId } = await after(point);
    onTestFinished(() => controller.stop());
    const { body } = await controller.client.destroy(sessionId);
    expect(body.gone.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["lease", "directory"]));
    expect((await controller.client.session(sessionId)).verdict).toMatchObject({ code: "interrupted" });
    await expectNothingLeft(controller);
  },
);

test.each(["recorded", "started"])(
  "killed at %s, with its VMM on record: it is adopted and becomes ready",
  async (point) => {
    const { controller, sessionId } = await after(point);
    onTestFinished(() => controller.stop());
    let last = "";
    for await (const { state } of controller.client.events(sessionId)) {
      last = state;
      if (state === "ready") break;
    }
    expect(last).toBe("ready");
    await controller.client.destroy(sessionId);
    await expectNothingLeft(controller);
  },
);

test("killed in the middle of a removal: the next one ends it", async () => {
  const { controller, sessionId } = await after("remove");
  onTestFinished(() => controller.stop());
  const { body } = await controller.client.destroy(sessionId);
  expect(body.gone).toHaveLength(8);
  await expectNothingLeft(controller);
});
