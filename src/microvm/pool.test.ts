import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startFakeGuest, type FakeGuestBehaviour } from "../../test/fixtures/fake-guest.ts";
import type { Snapshot } from "../image/snapshots.ts";
import type { Image } from "../image/store.ts";
import { silentLogger } from "../lib/logger.ts";
import { openSocket } from "../lib/open-stream.ts";
import { dataPaths } from "../lib/paths.ts";
import { identify } from "../lib/process.ts";
import { createPool, type PoolDeps, type PoolMember } from "./pool.ts";

const IMAGE = { digest: `sha256:${"1".repeat(64)}`, vmlinux: "/nowhere/vmlinux" } as Image;
const SNAPSHOT = { key: `sha256:${"2".repeat(64)}`, madeAt: "2026-11-30T12:00:00.000Z" } as Snapshot;

/** A pool of one place, with nobody to fill it: each clone fails at its first step. */
const poolOf = ({ isIdle = true, memoryMib = 1, agent = "/nowhere/agent" } = {}) => {
  const seen = { begun: 0 };
  const backend = { name: "fake", reopen: () => ({ openChannel: openSocket(agent) }) };
  const deps = {
    config: { warm: { pool: 1 }, vm: { memoryMib } },
    paths: dataPaths("/nowhere"),
    db: {
      transaction: () => {
        seen.begun += 1;
        throw new Error("enough");
      },
    },
    // What is thrown away goes no further either.
    vms: { get: () => Promise.reject(new Error("enough")) },
    vmms: { of: () => backend, choose: async () => ({ backend, accel: "kvm", why: "It is a fake." }) },
    warm: {
      beginningOf: async () => ({ plan: { kind: "restore", snapshot: "/nowhere" }, note: "", snapshot: SNAPSHOT }),
    },
    findImage: async () => IMAGE,
    isIdle: async () => isIdle,
    logger: silentLogger(),
  } as unknown as PoolDeps;
  return { seen, pool: createPool(deps) };
};

/** Ready since now; its VMM is this process. */
const member = async (change: Partial<PoolMember> = {}): Promise<PoolMember> => {
  const vm = { id: "abc", imageDigest: IMAGE.digest, backend: "fake", process: await identify(process.pid) };
  return { vm, snapshot: SNAPSHOT, note: "", wallMs: Date.now(), steadyMs: performance.now(), ...change } as PoolMember;
};

const HOUR_MS = 3_600_000;

test.each([
  [0.9, 1],
  [1.1, 0],
])("one that has waited for %d hours is handed out, or not: %i", async (hours, count) => {
  const { pool } = poolOf();
  pool.giveBack(await member({ wallMs: Date.now() - hours * HOUR_MS, steadyMs: performance.now() - hours * HOUR_MS }));
  expect([await pool.take(IMAGE, "fake")].filter(Boolean)).toHaveLength(count);
  expect(pool.ready()).toBe(0);
});

test.each([-120_000, 120_000])("none is handed out when the clock was set since (%i ms)", async (ms) => {
  const { pool } = poolOf();
  pool.giveBack(await member({ wallMs: Date.now() + ms }));
  expect(await pool.take(IMAGE, "fake")).toBeUndefined();
  expect(pool.ready()).toBe(0);
});

test("one of another image, or of another backend, is no session's", async () => {
  const { pool } = poolOf();
  pool.giveBack(await member());
  expect(await pool.take({ digest: `sha256:${"3".repeat(64)}` }, "fake")).toBeUndefined();
  expect(await pool.take(IMAGE, "another")).toBeUndefined();
  expect(pool.ready()).toBe(1);
  expect(await pool.take(IMAGE, "fake")).toBeDefined();
});

test("none is made ready while somebody waits for a microVM", async () => {
  const { pool, seen } = poolOf({ isIdle: false });
  await pool.refill();
  expect(seen.begun).toBe(0);
});

test("none is made ready where the host has no memory for it", async () => {
  const enough = poolOf();
  await enough.pool.refill();
  expect(enough.seen.begun).toBe(1);
  const { pool, seen } = poolOf({ memoryMib: 2 ** 40 });
  await pool.refill();
  expect(seen.begun).toBe(0);
});

const agentOf = async (behaviour: FakeGuestBehaviour): Promise<string> => {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-pool-"));
  const agent = join(folder, "agent.sock");
  const files = { channelPath: agent, consoleFile: join(folder, "console"), callsFile: join(folder, "calls") };
  const guest = await startFakeGuest({ ...files, behaviour });
  onTestFinished(async () => {
    await guest.stop();
    rmSync(folder, { recursive: true });
  });
  return agent;
};

test.each<[string, FakeGuestBehaviour, number]>([
  ["that is well stays", {}, 1],
  ["whose agent is mute goes", { agent: "silent" }, 0],
  ["whose browser is gone goes", { browser: "absent" }, 0],
])("one %s", async (_, behaviour, count) => {
  const { pool } = poolOf({ isIdle: false, agent: await agentOf(behaviour) });
  pool.giveBack(await member());
  await pool.refill();
  expect(pool.ready()).toBe(count);
});

test.each<[string, Partial<Snapshot>]>([
  ["another", { key: `sha256:${"3".repeat(64)}` }],
  ["an older one of the same inputs", { madeAt: "2026-11-30T11:00:00.000Z" }],
])("one of %s than the snapshot of now goes", async (_, change) => {
  const { pool } = poolOf({ isIdle: false, agent: await agentOf({}) });
  pool.giveBack(await member({ snapshot: { ...SNAPSHOT, ...change } }));
  await pool.refill();
  expect(pool.ready()).toBe(0);
});
