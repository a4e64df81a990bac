/** Clones wait for sessions: who finds one has a browser at once, and nobody gets one that is not well. With fake machines. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runCli } from "../../src/cli/cli.ts";
import { readEnv } from "../../src/config/env.ts";
import { BOOT_STAGES, RESTORE_STAGES } from "../../src/contract/session.ts";
import { identify } from "../../src/lib/process.ts";
import { poll } from "../../src/lib/wait.ts";
import { startController, startOne, type TestController, type TestControllerOptions } from "../fixtures/controller.ts";

const begin = async (options: TestControllerOptions = {}): Promise<TestController> => {
  const config = { warm: { snapshots: true, pool: 1 } };
  const controller = await startController({ config, tidyIntervalMs: 200, ...options });
  onTestFinished(() => controller.dispose());
  return controller;
};

const untilReady = (controller: TestController, count = 1): Promise<true> =>
  poll(async () => (await controller.client.warm()).pool.ready === count || undefined, {
    what: `${count} clones that wait`,
    timeoutMs: 20_000,
    intervalMs: 20,
  });

const nobodys = async ({ client }: TestController) =>
  (await client.vms()).filter(({ sessionId }) => sessionId === null);

const callsOf = async ({ paths }: TestController, vmId: string): Promise<{ method: string; params: object }[]> =>
  (await readFile(join(paths.vm(vmId).root, "run", "calls.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line): { method: string; params: object } => JSON.parse(line));

test("a clone waits, is on the bridge as itself and nobody's; a session takes it and is told to it, and another one takes its place", async () => {
  const controller = await begin();
  await untilReady(controller);
  const [waiting] = await nobodys(controller);
  expect(waiting?.holds.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["lease", "tap", "process"]));
  expect((await controller.client.reap({ dryRun: true })).found).toEqual([]);
  const before = await callsOf(controller, waiting?.vmId ?? "");
  expect(before.map(({ method }) => method)).toEqual(["renew", "configure"]);
  expect(before[1]?.params).not.toHaveProperty("session");

  const view = await startOne(controller);
  expect(view.vmId).toBe(waiting?.vmId);
  expect(view.stages.map(({ stage }) => stage)).toEqual(RESTORE_STAGES);
  expect(view.stages.slice(0, 2).map(({ source }) => source)).toEqual(["pool", "pool"]);
  const [, , told, ...more] = await callsOf(controller, waiting?.vmId ?? "");
  expect(more).toEqual([]);
  expect(told).toMatchObject({
    method: "configure",
    params: { session: { sealing: { sessionId: view.sessionId } }, clockMs: expect.any(Number) },
  });
  expect(told?.params).not.toHaveProperty("network");

  await untilReady(controller);
  const { body } = await controller.client.destroy(view.sessionId);
  expect(body.gone.map(({ kind }) => kind)).toEqual(expect.arrayContaining(["lease", "tap", "process"]));
  expect(await nobodys(controller)).toHaveLength(1);
});

test("two sessions at once get two microVMs, one of them a clone that waited", async () => {
  const controller = await begin();
  await untilReady(controller);
  const [waiting] = await nobodys(controller);
  const views = await Promise.all([startOne(controller), startOne(controller)]);
  const ids = views.map(({ vmId }) => vmId);
  expect(new Set(ids).size).toBe(2);
  expect(ids).toContain(waiting?.vmId);
});

test("one that ended while it waited is not handed out, and nothing is left of it", async () => {
  const controller = await begin({ tidyIntervalMs: 200 });
  await untilReady(controller);
  const [waiting] = await nobodys(controller);
  const pid = waiting?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  const hasEnded = async () => (await identify(pid)) === undefined || undefined;
  await poll(hasEnded, { what: "its end", timeoutMs: 10_000, intervalMs: 10 });
  const view = await startOne(controller);
  expect(view.vmId).not.toBe(waiting?.vmId);
  const isGone = async () => (await controller.client.vms()).every(({ vmId }) => vmId !== waiting?.vmId) || undefined;
  await poll(isGone, { what: "its removal", timeoutMs: 10_000, intervalMs: 50 });
});

test("a session that is refused takes no clone", async () => {
  const config = { warm: { snapshots: true, pool: 1 }, session: { max: 1 } };
  const controller = await begin({ config });
  await untilReady(controller);
  await startOne(controller);
  await untilReady(controller);
  await expect(controller.client.start({ provider: "oidc" })).rejects.toMatchObject({ code: "host-full" });
  expect((await controller.client.warm()).pool.ready).toBe(1);
  expect(await nobodys(controller)).toHaveLength(1);
});

test("one whose session it cannot be told is thrown away, and the session boots", async () => {
  const controller = await begin();
  await untilReady(controller);
  const [waiting] = await nobodys(controller);
  process.kill(waiting?.pid ?? 0, "SIGSTOP");
  const view = await startOne(controller);
  expect(view.stages.map(({ stage }) => stage)).toEqual(BOOT_STAGES);
  expect(view.vmId).toBe(waiting?.vmId);
}, 90_000);

test("destroy --all ends all sessions, leaves the network to a clone that waits, and says so", async () => {
  const controller = await begin();
  await untilReady(controller);
  let output = "";
  const sink = { write: (text: string, done?: () => void) => ((output += text), done?.()) };
  const exitCode = await runCli(["destroy", "--all", "--url", controller.url, "--key", controller.adminKey], {
    env: readEnv(),
    stdout: sink,
    stderr: sink,
    signal: new AbortController().signal,
    isTerminal: false,
  });
  expect(output).toMatch(/^No sessions\.\nThe network stays for microVMs of no session's/);
  expect(exitCode).toBe(0);
  expect(await nobodys(controller)).toHaveLength(1);
});

test("a controller that stops ends those that wait", async () => {
  const config = { warm: { snapshots: true, pool: 1 } };
  const controller = await startController({ config, tidyIntervalMs: 600_000 });
  await controller.client.makeWarm();
  const isMade = async () => (await controller.client.warm()).snapshot !== null || undefined;
  await poll(isMade, { what: "the snapshot", timeoutMs: 20_000, intervalMs: 20 });
  // A session's end of its start is when the pool is filled.
  const { sessionId } = await startOne(controller);
  await untilReady(controller);
  await controller.client.destroy(sessionId);
  const next = await controller.restart();
  onTestFinished(() => next.dispose());
  expect(await next.client.vms()).toEqual([]);
});

test("clones that fail while they are made ready are ended, and two of them end the snapshot", async () => {
  const controller = await begin({ behaviour: () => ({ renewal: "refused" }) });
  const { client } = controller;
  const ofNow = async () => (await client.warm()).snapshot ?? undefined;
  const { madeAt } = await poll(ofNow, { what: "a snapshot", timeoutMs: 20_000, intervalMs: 10 });
  const isAnother = async () => ((await ofNow())?.madeAt ?? madeAt) !== madeAt || undefined;
  await poll(isAnother, { what: "another snapshot", timeoutMs: 20_000, intervalMs: 10 });
  // That one is no better, and the next is not made at once.
  const isOver = async () => (!(await ofNow()) && (await client.vms()).length === 0) || undefined;
  await poll(isOver, { what: "the end of all of it", timeoutMs: 20_000, intervalMs: 50 });
});
