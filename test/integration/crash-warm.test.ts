/** The controller dies at any line of the making of a warm snapshot, and of a clone's start. */
import { readdir } from "node:fs/promises";
import { expect, test } from "vitest";
import type { SessionView } from "../../src/contract/api.ts";
import { RESTORE_STAGES } from "../../src/contract/session.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { poll } from "../../src/lib/wait.ts";
import { after, expectNothingLeft } from "../fixtures/after-crash.ts";
import type { TestController } from "../fixtures/controller.ts";

const WARM = { config: { warm: { snapshots: true, pool: 0 } } };

/** As it is once it is ready, or over. */
const settled = async ({ client }: TestController, sessionId: string): Promise<SessionView> => {
  for await (const view of client.events(sessionId)) if (view.state === "ready" || view.verdict) return view;
  throw new Error("it ended without a verdict");
};

const stagesOf = ({ stages }: SessionView): string[] => stages.map(({ stage }) => stage);

const startOne = async (controller: TestController): Promise<SessionView> => {
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  const view = await settled(controller, sessionId);
  expect(view.verdict).toBeNull();
  await controller.client.destroy(sessionId);
  return view;
};

const foldersOf = ({ paths }: TestController) => unlessMissing(readdir(paths.snapshots), []);

test.each([
  ["recorded", 0],
  ["asking settle", 0],
  ["half frozen", 0],
  ["frozen", 0],
  ["renaming", 0],
  ["renamed", 1],
])("killed at %s, in the making of a warm snapshot: nothing is left but a whole one (%i)", async (point, whole) => {
  const { controller } = await after(`template:${point}`, { ...WARM, tidyIntervalMs: 100 });
  const isTidy = async () => ((await controller.client.vms()).length === 0 ? true : undefined);
  await poll(isTidy, { what: "the removal of the template", timeoutMs: 20_000, intervalMs: 50 });
  if (whole === 0) {
    const names = async () => ((await foldersOf(controller)).some((name) => !name.endsWith(".new")) ? true : undefined);
    await poll(names, { what: "another snapshot", timeoutMs: 20_000, intervalMs: 50 });
  }
  const isMade = async () => ((await controller.client.warm()).doing === null ? true : undefined);
  await poll(isMade, { what: "the making's end", timeoutMs: 20_000, intervalMs: 20 });
  const tidied = async () => ((await foldersOf(controller)).length === 1 ? true : undefined);
  await poll(tidied, { what: "the removal of what was begun", timeoutMs: 5_000, intervalMs: 50 });
  expect(stagesOf(await startOne(controller))).toEqual(RESTORE_STAGES);
  await expectNothingLeft(controller);
});

test.each(["acquired", "recorded"])(
  "killed at %s, before its clone ran: the session fails, nothing is left, and the next one is a clone",
  async (point) => {
    const { controller, sessionId } = await after(`clone:${point}`, WARM);
    const { verdict } = await settled(controller, sessionId);
    expect(verdict).toMatchObject({ code: "interrupted", stage: "restored" });
    await controller.client.destroy(sessionId);
    await expectNothingLeft(controller);
    expect(stagesOf(await startOne(controller))).toEqual(RESTORE_STAGES);
  },
);

test.each([
  ["started", ["renew", "configure"]],
  // Whether it was answered is not on record.
  ["renew answered", ["renew", "renew", "configure"]],
  ["asking configure", ["renew", "configure"]],
  // It has its session now, and would refuse to be made new.
  ["configure answered", ["renew", "configure", "configure"]],
  ["joining", ["renew", "configure"]],
  ["joined", ["renew", "configure"]],
])("killed at %s: its clone is adopted as one, asked for %j, and on the bridge only then", async (point, asked) => {
  const joins: string[][] = [];
  const { controller, sessionId } = await after(`clone:${point}`, { ...WARM, onJoin: (seen) => joins.push(seen) });
  const view = await settled(controller, sessionId);
  expect(view.verdict).toBeNull();
  expect(stagesOf(view)).toEqual(RESTORE_STAGES);
  expect(joins).toEqual([asked]);
  await controller.client.destroy(sessionId);
  await expectNothingLeft(controller);
});

test("killed while a clone that was not made new is taken back: it is not told as one that ended by itself", async () => {
  const { controller, sessionId } = await after("fallback:remove", WARM);
  expect((await settled(controller, sessionId)).verdict).toMatchObject({ code: "interrupted", stage: "vmm-up" });
  await controller.client.destroy(sessionId);
  await expectNothingLeft(controller);
});
