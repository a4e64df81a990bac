/** Sessions from a warm snapshot, with real guests: made by the controller, cloned twice, and looked at from outside. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import type { SessionView } from "../../src/contract/api.ts";
import { RESTORE_STAGES } from "../../src/contract/session.ts";
import { createBootHost, untilState, type BootHost } from "./host.ts";

let host: BootHost;
let made: { exitCode: number; output: string };
let clones: SessionView[];
let files: Awaited<ReturnType<typeof filesIn>>;

const filesIn = async (folder: string) => {
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return Promise.all(
    entries.map(async ({ parentPath, name }) => {
      const { size, mode, mtimeMs } = await stat(join(parentPath, name));
      return { name, size, mode, mtimeMs };
    }),
  );
};

const startOne = async (): Promise<SessionView> => {
  const { sessionId } = await host.client.start({ provider: "claude_code", userId: "ada" });
  return untilState(host.client, sessionId, "ready");
};

beforeAll(async () => {
  host = await createBootHost("warm", inject("imageDataDir"), { isWarm: true });
  made = await host.sallyport("image", "warm");
  files = await filesIn(host.paths.snapshots);
  clones = [await startOne(), await startOne()];
}, 8 * 60_000);
afterAll(() => host?.destroy());

test("the controller makes a snapshot when it is asked, and nothing is left of the microVM that it froze", async () => {
  expect(made, made.output).toMatchObject({ exitCode: 0, output: expect.stringContaining("warm snapshot of") });
  expect((await host.client.vms()).map(({ sessionId }) => sessionId)).not.toContain(null);
});

test("two sessions at once are clones of it, and go the way of one", () => {
  for (const { stages } of clones) expect(stages.map(({ stage }) => stage)).toEqual(RESTORE_STAGES);
  expect(new Set(clones.map(({ browserIP }) => browserIP)).size).toBe(2);
});

test("nothing of the snapshot was changed by them", async () => {
  expect(await filesIn(host.paths.snapshots)).toEqual(files);
});
