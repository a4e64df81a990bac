import { expect, test } from "vitest";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/logger.ts";
import type { Image } from "../image/store.ts";
import type { Snapshot } from "../image/snapshots.ts";
import { createWarm, type WarmDeps } from "./warm.ts";

const IMAGE = { digest: `sha256:${"1".repeat(64)}`, vmlinux: "/nowhere/vmlinux" } as Image;
const SNAPSHOT = { key: `sha256:${"2".repeat(64)}`, madeAt: "2026-11-30T12:00:00.000Z" } as Snapshot;
const ANOTHER = { ...SNAPSHOT, madeAt: "2026-11-30T13:00:00.000Z" };

/** On a host where each making fails at its first step. */
const warmOf = (found?: Snapshot, isOn = true) => {
  const seen = { isIdle: true, begun: 0, removed: [] as (string | undefined)[], trouble: undefined as unknown };
  const backend = { name: "fake", snapshots: { ground: async () => ({ vmm: "fake 1" }) } };
  const deps = {
    config: { warm: { snapshots: isOn, maxAgeHours: 24 }, vm: { vcpuCount: 2, memoryMib: 512 } },
    snapshots: {
      keepOnly: async () => [],
      find: async () => {
        if (seen.trouble !== undefined) throw seen.trouble;
        return found;
      },
      list: async () => [],
      begin: async () => {
        seen.begun += 1;
        throw new Error("enough");
      },
      remove: async (_: string, one?: Snapshot) => void seen.removed.push(one?.madeAt),
    },
    vmms: {
      of: () => backend,
      choose: async () => ({ backend, accel: "kvm", why: "It is a fake." }),
    },
    findImage: async () => IMAGE,
    isIdle: async () => seen.isIdle,
    logger: silentLogger(),
  } as unknown as WarmDeps;
  return { seen, warm: createWarm(deps) };
};

const rounds = async (warm: ReturnType<typeof warmOf>["warm"], count: number): Promise<void> => {
  for (let round = 0; round < count; round++) {
    await warm.keep();
    await new Promise((resolve) => setImmediate(resolve));
  }
};

test("none is made while somebody waits for a microVM, nor in the first round in which nobody does", async () => {
  const { seen, warm } = warmOf();
  seen.isIdle = false;
  await rounds(warm, 5);
  seen.isIdle = true;
  await rounds(warm, 1);
  seen.isIdle = false;
  await rounds(warm, 1);
  seen.isIdle = true;
  await rounds(warm, 1);
  expect(seen.begun).toBe(0);
  await rounds(warm, 1);
  expect(seen.begun).toBe(1);
});

test("one that could not be made is not tried again at once", async () => {
  const { seen, warm } = warmOf();
  await rounds(warm, 10);
  expect(seen.begun).toBe(1);
});

test("where no snapshot is any good, the next but one is not made at once", async () => {
  const { seen, warm } = warmOf();
  for (const one of [SNAPSHOT, SNAPSHOT, ANOTHER, ANOTHER]) await warm.cloneFailed(one, "no reason");
  await rounds(warm, 5);
  expect(seen.removed).toHaveLength(2);
  expect(seen.begun).toBe(0);
  expect((await warm.state()).failure).toContain("no reason");
});

test.each([
  [17, 0],
  [19, 1],
])("one of %i hours is used, and another one made for when it will be too old: %i", async (hours, begun) => {
  const madeAt = new Date(Date.now() - hours * 3_600_000).toISOString();
  const { seen, warm } = warmOf({ ...SNAPSHOT, madeAt });
  expect((await warm.beginningOf(IMAGE, "fake")).plan.kind).toBe("restore");
  await rounds(warm, 3);
  expect(seen.begun).toBe(begun);
});

test("one clone that fails is an accident, two are the snapshot's fault", async () => {
  const { seen, warm } = warmOf();
  await warm.cloneFailed(SNAPSHOT, "no reason");
  expect(seen.removed).toEqual([]);
  await warm.cloneFailed(SNAPSHOT, "no reason");
  expect(seen.removed).toEqual([SNAPSHOT.madeAt]);
});

test("a clone that is well shows that the one before it was an accident", async () => {
  const { seen, warm } = warmOf();
  for (let count = 0; count < 5; count++) {
    await warm.cloneFailed(SNAPSHOT, "no reason");
    warm.cloneIsWell(SNAPSHOT);
  }
  expect(seen.removed).toEqual([]);
});

test("however many clones of one snapshot fail at the same time, it is one that ended", async () => {
  const { seen, warm } = warmOf();
  await Promise.all(Array.from({ length: 20 }, () => warm.cloneFailed(SNAPSHOT, "no reason")));
  expect(seen.removed).toEqual([SNAPSHOT.madeAt]);
  await rounds(warm, 3);
  expect(seen.begun).toBe(1);
});

test("one that ended is used no more, also where it could not be removed", async () => {
  const one = { ...SNAPSHOT, madeAt: new Date().toISOString() };
  const { warm } = warmOf(one);
  expect((await warm.beginningOf(IMAGE, "fake")).plan.kind).toBe("restore");
  for (let count = 0; count < 2; count++) await warm.cloneFailed(one, "no reason");
  expect((await warm.beginningOf(IMAGE, "fake")).plan.kind).toBe("boot");
});

test("a damaged one is removed and another one made; what keeps it from being read says nothing about it", async () => {
  const { seen, warm } = warmOf();
  seen.trouble = new AppError("internal", "command-timeout", "qemu did not finish within 5 s.");
  await expect(rounds(warm, 1)).rejects.toThrow("did not finish");
  expect(await warm.beginningOf(IMAGE, "fake")).toMatchObject({ plan: { kind: "boot" }, isInDoubt: true });
  expect(seen).toMatchObject({ removed: [], begun: 0 });
  seen.trouble = new AppError("internal", "snapshot-damaged", "The warm snapshot is damaged: /here.");
  expect((await warm.beginningOf(IMAGE, "fake")).note).not.toContain("/here");
  await rounds(warm, 3);
  expect(seen.removed.length).toBeGreaterThan(0);
  expect(seen.begun).toBe(1);
});

test("who starts sessions without an end does not keep all others in the cold", async () => {
  const { seen, warm } = warmOf();
  seen.isIdle = false;
  await rounds(warm, 15);
  expect(seen.begun).toBe(0);
  await rounds(warm, 1);
  expect(seen.begun).toBe(1);
});

test("none is made where they are switched off, and who asks is told", () => {
  const { seen, warm } = warmOf(undefined, false);
  expect(() => warm.make(IMAGE)).toThrow("switched off");
  expect(seen.begun).toBe(0);
});
