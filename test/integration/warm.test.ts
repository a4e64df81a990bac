/** A session starts from a warm snapshot, and whatever is wrong with one, it boots: with fake machines, which are frozen and cloned as real ones are. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { RESTORE_STAGES, BOOT_STAGES } from "../../src/contract/session.ts";
import type { SessionView } from "../../src/contract/api.ts";
import { AppError } from "../../src/lib/errors.ts";
import { poll } from "../../src/lib/wait.ts";
import { startController, startOne, type TestController, type TestControllerOptions } from "../fixtures/controller.ts";
import type { FakeVmmBehaviour } from "../fixtures/fake-vmm.ts";

const begin = async (options: TestControllerOptions = {}): Promise<TestController> => {
  const controller = await startController({
    config: { warm: { snapshots: true, pool: 0 } },
    tidyIntervalMs: 200,
    ...options,
  });
  onTestFinished(() => controller.dispose());
  return controller;
};

const untilWarm = (controller: TestController) =>
  poll(async () => (await controller.client.warm()).snapshot ?? undefined, {
    what: "a warm snapshot",
    timeoutMs: 20_000,
    intervalMs: 50,
  });

const makeOne = async ({ client }: TestController): Promise<void> => {
  expect(await client.makeWarm()).toMatchObject({ doing: expect.any(String), failure: null });
  const isMade = async () => ((await client.warm()).doing === null ? true : undefined);
  await poll(isMade, { what: "the making's end", timeoutMs: 20_000, intervalMs: 20 });
  expect(await client.warm()).toMatchObject({ snapshot: { coldMs: expect.any(Number) }, failure: null });
};

const stagesOf = ({ stages }: SessionView): string[] => stages.map(({ stage }) => stage);
const notesOf = ({ stages }: SessionView): string => stages.map(({ note = "" }) => note).join("");

test("a snapshot is made by itself, nothing is left of its making, and a session is its clone", async () => {
  const controller = await begin();
  const { madeAt } = await untilWarm(controller);
  expect(await controller.client.vms()).toEqual([]);
  const view = await startOne(controller);
  expect(stagesOf(view)).toEqual(RESTORE_STAGES);
  expect(notesOf(view)).toBe(`from the warm snapshot of ${madeAt}`);
  expect((await controller.client.warm()).snapshot?.madeAt).toBe(madeAt);
});

test("a clone is made new before it is told who it is, and only then is it on the bridge", async () => {
  const controller = await begin();
  await untilWarm(controller);
  const { vmId, browserIP } = await startOne(controller);
  const calls = (await readFile(join(controller.paths.vm(vmId ?? "").root, "run", "calls.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line): { method: string; params: Record<string, unknown> } => JSON.parse(line));
  expect(calls.map(({ method }) => method)).toEqual(["renew", "configure"]);
  expect(calls[1]?.params).toMatchObject({
    machineId: expect.stringMatching(/^[0-9a-f]{32}$/),
    network: { address: browserIP, mac: expect.stringMatching(/^06:/) },
    clockMs: expect.any(Number),
  });
});

test("without a snapshot a session boots, and says why", async () => {
  const controller = await begin({ config: { warm: { snapshots: false } } });
  const view = await startOne(controller);
  expect(stagesOf(view)).toEqual(BOOT_STAGES);
  expect(notesOf(view)).toBe("cold: warm snapshots are switched off (warm.snapshots)");
});

test.each(["refused", "ignored"] as const)(
  "a clone that is not made new (%s) is thrown away: the session boots, the reason is told and counted, and the second one ends the snapshot",
  async (renewal) => {
    const controller = await begin({
      behaviour: () => ({ renewal }),
      config: { warm: { snapshots: true, pool: 0 }, session: { deadlinesSec: { identity: 1 } } },
    });
    const { madeAt } = await untilWarm(controller);
    for (const round of [1, 2]) {
      const view = await startOne(controller);
      expect(stagesOf(view)).toEqual(BOOT_STAGES);
      expect(notesOf(view)).toMatch(
        /^cold, because the warm snapshot failed: .*did not make its random generators new/,
      );
      expect((await fetchMetrics(controller)).match(/sallyport_warm_fallbacks_total (\d+)/)?.[1]).toBe(`${round}`);
      // One user may have two; and nothing of the clone is left beside its successor.
      const [vm, ...more] = (await controller.client.vms()).filter(({ sessionId }) => sessionId !== null);
      expect(more).toEqual([]);
      expect(vm?.holds.filter(({ kind }) => kind === "cgroup")).toHaveLength(1);
      await controller.client.destroy(view.sessionId);
    }
    const again = async () => ((await untilWarm(controller)).madeAt === madeAt ? undefined : true);
    await poll(again, { what: "another snapshot", timeoutMs: 20_000, intervalMs: 100 });
  },
);

test.each<[string, FakeVmmBehaviour, string]>([
  ["whose agent is silent", { agent: "silent" }, "its agent never answered on the channel. waited 2 s; last seen: "],
  ["that refuses its identity", { identity: "refused" }, "refused its identity: name, clock, resolver and session. "],
  ["that nobody reaches", { hasNoHealth: true }, "does not answer from the host. waited 2 s; last seen: ECONNREFUSED"],
  ["without a screen", { hasNoDisplay: true }, "its screen (port 5901) or its Firefox is not there. waited 2 s; "],
  ["whose VMM does not start", { vmm: "dies-at-start" }, "could not open the rootfs"],
])("a clone %s is taken back: the session boots, and the timeline says why", async (_, fault, why) => {
  const behaviours: FakeVmmBehaviour[] = [{}, fault];
  const controller = await begin({
    behaviour: () => behaviours.shift() ?? {},
    config: { warm: { snapshots: true }, session: { deadlinesSec: { identity: 2, reachable: 2, screen: 2 } } },
    tidyIntervalMs: 600_000,
  });
  await makeOne(controller);
  const view = await startOne(controller);
  expect(stagesOf(view)).toEqual(BOOT_STAGES);
  expect(notesOf(view)).toContain("cold, because the warm snapshot failed: ");
  expect(notesOf(view)).toContain(why);
  expect((await controller.client.warm()).snapshot).not.toBeNull();
});

test.each<[string, () => Promise<never>, string]>([
  [
    "cannot join the bridge",
    () => Promise.reject(new AppError("internal", "command-failed", "Cannot find device")),
    " Cannot find device",
  ],
  ["does not get to the bridge in time", () => new Promise(() => {}), ""],
])(
  "a clone whose TAP %s is taken back, the timeline says why, and the snapshot is not to blame",
  async (_, instead, why) => {
    const controller = await begin({
      config: { warm: { snapshots: true, pool: 0 }, session: { deadlinesSec: { joined: 1 } } },
      tidyIntervalMs: 600_000,
    });
    await makeOne(controller);
    const join = controller.network.join.bind(controller.network);
    for (let round = 0; round < 2; round++) {
      controller.network.join = async () => {
        controller.network.join = join;
        return instead();
      };
      const view = await startOne(controller);
      expect(stagesOf(view)).toEqual(BOOT_STAGES);
      expect(notesOf(view)).toBe(
        `cold, because the warm snapshot failed: The virtual machine has its own address, but could not be connected to the bridge.${why}`,
      );
      await controller.client.destroy(view.sessionId);
    }
    expect((await controller.client.warm()).snapshot).not.toBeNull();
  },
);

test("after a fallback a session has its address since it got it, and each stage is counted once", async () => {
  const behaviours: FakeVmmBehaviour[] = [{}, { agent: "silent" }];
  const controller = await begin({
    behaviour: () => behaviours.shift() ?? {},
    config: { warm: { snapshots: true, pool: 0 }, session: { deadlinesSec: { identity: 1 } } },
    tidyIntervalMs: 600_000,
  });
  await makeOne(controller);
  const { stages } = await startOne(controller);
  const [leased, booted] = stages;
  const waitedMs = Date.parse(booted?.startedAt ?? "") - Date.parse(leased?.endedAt ?? "");
  expect(waitedMs, "the clone's own time").toBeGreaterThan(900);
  const metrics = await fetchMetrics(controller);
  for (const { stage } of stages) expect(metrics).toMatch(new RegExp(`stage="${stage}"[^\\n]*\\} 1\\n`));
  expect(metrics).toMatch(/_count\{stage="leased"\} 1\n/);
});

test("of a clone that is there diagnosis finds nothing wrong", async () => {
  const controller = await begin();
  await untilWarm(controller);
  const { sessionId } = await startOne(controller);
  const { diagnosis } = await controller.client.diagnosis(sessionId);
  expect(diagnosis).toMatchObject({ cause: { code: "nothing-wrong" }, consequences: [] });
});

const fetchMetrics = async ({ url, adminKey }: TestController): Promise<string> => {
  const { request } = await import("node:http");
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${adminKey}` };
    request({ socketPath: url.slice("unix:".length), path: "/metrics", headers }, (response) => {
      let text = "";
      response.on("data", (chunk) => (text += String(chunk))).on("end", () => resolve(text));
    })
      .on("error", reject)
      .end();
  });
};

const folderOf = async ({ paths }: TestController): Promise<string> => {
  const [name = ""] = await readdir(paths.snapshots);
  return join(paths.snapshots, name);
};

test.each([
  [
    "whose memory was written to",
    (folder: string) => writeFile(join(folder, "machine", "memory.json"), `{"bootId":"x"}`),
  ],
  ["whose memory is gone", (folder: string) => rm(join(folder, "machine", "memory.json"))],
  ["without a manifest", (folder: string) => rm(join(folder, "manifest.json"))],
  ["with another's manifest", (folder: string) => writeFile(join(folder, "manifest.json"), "{}")],
])("a snapshot %s is not used: the session boots with the reason, until another one is made", async (_, spoil) => {
  const controller = await begin({ tidyIntervalMs: 600_000 });
  await makeOne(controller);
  await spoil(await folderOf(controller));
  const view = await startOne(controller);
  expect(stagesOf(view)).toEqual(BOOT_STAGES);
  expect(notesOf(view)).toMatch(/^cold: the warm snapshot is damaged$/);
  await makeOne(controller);
  expect(stagesOf(await startOne(controller))).toEqual(RESTORE_STAGES);
});

test("what a controller that was killed left of a making is removed at the next start, and an old snapshot with it", async () => {
  const controller = await startController({ config: { warm: { snapshots: true, pool: 0 } }, tidyIntervalMs: 600_000 });
  await makeOne(controller);
  const kept = await readdir(controller.paths.snapshots);
  const left = [`${"a".repeat(64)}-01234567.new`, `${"b".repeat(64)}-01234567`];
  for (const name of left) await mkdir(join(controller.paths.snapshots, name, "machine"), { recursive: true });
  const next = await controller.restart();
  onTestFinished(() => next.dispose());
  const names = async () => {
    const found = await readdir(next.paths.snapshots);
    return found.some((name) => left.includes(name)) ? undefined : found;
  };
  expect(await poll(names, { what: "their removal", timeoutMs: 10_000, intervalMs: 50 })).toEqual(kept);
  expect(stagesOf(await startOne(next))).toEqual(RESTORE_STAGES);
});

const expectNotUsed = async (hours: number): Promise<void> => {
  const controller = await begin({ tidyIntervalMs: 600_000 });
  await makeOne(controller);
  const file = join(await folderOf(controller), "manifest.json");
  const manifest = JSON.parse(await readFile(file, "utf8")) as object;
  const madeAt = new Date(Date.now() + hours * 3_600_000).toISOString();
  await rm(file);
  await writeFile(file, JSON.stringify({ ...manifest, madeAt }));
  expect((await controller.client.warm()).snapshot).toBeNull();
  const view = await startOne(controller);
  expect(stagesOf(view)).toEqual(BOOT_STAGES);
  expect(notesOf(view)).toBe("cold: there is no warm snapshot for this image on this host yet, or it is too old");
};

test("a snapshot that is too old is not shown as the one that sessions start from, nor used", () => expectNotUsed(-25));

test("a snapshot of a time that is still to come, since somebody set the clock back, is not used either", () =>
  expectNotUsed(2));

const callsOf = async ({ paths }: TestController, vmId: string | null) =>
  (await readFile(join(paths.vm(vmId ?? "").root, "run", "calls.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line): { method: string; params: Record<string, string> } => JSON.parse(line));

test("no two clones are given the same bytes, nor the same machine id", async () => {
  const controller = await begin({ tidyIntervalMs: 600_000 });
  await makeOne(controller);
  const calls = [];
  for (const { vmId } of [await startOne(controller), await startOne(controller)]) {
    calls.push(...(await callsOf(controller, vmId)).map(({ params }) => params));
  }
  const bytes = calls.flatMap(({ entropy }) => (entropy === undefined ? [] : [Buffer.from(entropy, "base64")]));
  expect(bytes.map(({ length }) => length)).toEqual([64, 64]);
  expect(new Set(bytes.map(String)).size).toBe(2);
  const machineIds = calls.flatMap(({ machineId = [] }) => machineId);
  expect([machineIds.length, new Set(machineIds).size]).toEqual([2, 2]);
});

test("a session that ends while its clone starts is no fault of the snapshot's, and nothing boots for it", async () => {
  const behaviours: FakeVmmBehaviour[] = [{}, { agent: "silent" }];
  const controller = await begin({ behaviour: () => behaviours.shift() ?? {}, tidyIntervalMs: 600_000 });
  await makeOne(controller);
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  const isRestored = async () => (await controller.client.session(sessionId)).stages.at(-1)?.endedAt ?? undefined;
  await poll(isRestored, { what: "the clone", timeoutMs: 20_000, intervalMs: 20 });
  await controller.client.destroy(sessionId);
  expect(controller.log()).not.toContain("a clone of the warm snapshot failed");
});

test("where warm snapshots are switched off none is kept", async () => {
  const controller = await startController({ config: { warm: { snapshots: true, pool: 0 } }, tidyIntervalMs: 600_000 });
  await makeOne(controller);
  const next = await begin({ ...(await controller.abandon()), config: { warm: { snapshots: false } } });
  const isGone = async () => ((await readdir(next.paths.snapshots)).length === 0 ? true : undefined);
  await poll(isGone, { what: "its removal", timeoutMs: 10_000, intervalMs: 50 });
});
