import { expect, test } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import type { Image } from "../image/store.ts";
import type { Snapshot } from "../image/snapshots.ts";
import { createWarm, type WarmDeps } from "./warm.ts";

const IMAGE = { digest: `sha256:${"1".repeat(64)}`, vmlinux: "/nowhere/vmlinux" } as Image;
const SNAPSHOT = { key: `sha256:${"2".repeat(64)}` } as Snapshot;

/** On a host where each making fails at its first step. */
const warmOf = (found?: Snapshot) => {
  const seen = { isIdle: true, begun: 0, removed: [] as string[] };
  const backend = { name: "fake", snapshots: { ground: async () => ({ vmm: "fake 1" }) } };
  const deps = {
    config: { warm: { snapshots: true, maxAgeHours: 24 }, vm: { vcpuCount: 2, memoryMib: 512 } },
    snapshots: {
      keepOnly: async () => [],
      find: async () => found,
      list: async () => [],
      begin: async () => {
        seen.begun += 1;
        throw new Error("enough");
      },
      remove: async (key: string) => void seen.removed.push(key),
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
  const end = async (): Promise<void> => {
    await warm.cloneFailed(SNAPSHOT, "no reason");
    await warm.cloneFailed(SNAPSHOT, "no reason");
  };
  await end();
  await end();
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
  expect(seen.removed).toEqual([SNAPSHOT.key]);
});
