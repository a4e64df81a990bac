import { expect, test } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import type { Image } from "../image/store.ts";
import type { Snapshot } from "../image/snapshots.ts";
import { createWarm, type WarmDeps } from "./warm.ts";

const IMAGE = { digest: `sha256:${"1".repeat(64)}`, vmlinux: "/nowhere/vmlinux" } as Image;
const SNAPSHOT = { key: `sha256:${"2".repeat(64)}` } as Snapshot;

/** On a host where each making fails at its first step. */
const warmOf = () => {
  const seen = { isIdle: true, begun: 0, removed: [] as string[] };
  const backend = { name: "fake", snapshots: { ground: async () => ({ vmm: "fake 1" }) } };
  const deps = {
    config: { warm: { snapshots: true, maxAgeHours: 24 }, vm: { vcpuCount: 2, memoryMib: 512 } },
    snapshots: {
      keepOnly: async () => [],
      find: async () => undefined,
      begin: async () => {
        seen.begun += 1;
        throw new Error("enough");
      },
      remove: async (key: string) => void seen.removed.push(key),
    },
    vmms: { choose: async () => ({ backend, accel: "kvm", why: "It is a fake." }) },
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

test("one clone that fails is an accident, two are the snapshot's fault", async () => {
  const { seen, warm } = warmOf();
  await warm.cloneFailed(SNAPSHOT, "no reason");
  expect(seen.removed).toEqual([]);
  await warm.cloneFailed(SNAPSHOT, "no reason");
  expect(seen.removed).toEqual([SNAPSHOT.key]);
});
