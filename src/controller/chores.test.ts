import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import type { Config } from "../config/config.ts";
import { silentLogger } from "../lib/logger.ts";
import { dataPaths } from "../lib/paths.ts";
import { createChores, type ChoresDeps } from "./chores.ts";

const deps = (changes: Partial<Record<keyof ChoresDeps, unknown>>): ChoresDeps =>
  ({
    config: { evidence: { keepDays: 1, maxMib: 1 }, history: { keepDays: 1 } } as Config,
    paths: dataPaths("/nowhere"),
    ledger: { held: async () => [] },
    network: {},
    sessions: { resume: async () => [], vms: async () => [], isDriven: () => true },
    reap: async () => ({ found: [], removed: [], failed: [] }),
    warm: { keep: async () => {}, refill: async () => {}, isNobodys: () => false },
    forgetHistory: async () => 0,
    logger: silentLogger(),
    ...changes,
  }) as unknown as ChoresDeps;

test("a leak is what would not go, and what is held for nobody; before the first look it is not known", async () => {
  const held = { sessionId: "ses_over", holds: [{ kind: "tap", ref: "sp-a" }] };
  const chores = createChores(
    deps({
      reap: async () => ({ found: ["TAP sp-b"], removed: [], failed: ["TAP sp-b: busy"] }),
      sessions: { resume: async () => [], vms: async () => [held], isDriven: () => false },
    }),
  );
  expect(chores.leaks()).toBeNaN();
  await chores.tidy();
  expect(chores.leaks()).toBe(2);
});

test("what a snapshot is made in belongs to nobody and is no leak", async () => {
  const vms = async () => [{ vmId: "a", sessionId: null, holds: [{ kind: "tap", ref: "sp-a" }] }];
  const chores = createChores(
    deps({
      sessions: { resume: async () => [], vms, isDriven: () => false },
      warm: { keep: async () => {}, refill: async () => {}, isNobodys: (vmId: string) => vmId === "a" },
    }),
  );
  await chores.tidy();
  expect(chores.leaks()).toBe(0);
});

test("a chore that fails keeps no other from being done; a look that fails says nothing", async () => {
  const done: string[] = [];
  const chores = createChores(
    deps({
      sessions: { resume: () => Promise.reject(new Error("no")), vms: async () => [], isDriven: () => true },
      ledger: { held: async () => (done.push("network"), []) },
      reap: () => (done.push("reap"), Promise.reject(new Error("no"))),
    }),
  );
  await chores.tidy();
  expect(done).toEqual(["network", "reap"]);
  expect(chores.leaks()).toBeNaN();
});

test("a chore that hangs is told of, and what was counted before it grows old", async () => {
  vi.useFakeTimers();
  try {
    let isHanging = false;
    const error = vi.fn<(text: string) => void>();
    const chores = createChores(
      deps({
        sessions: {
          resume: () => (isHanging ? new Promise(() => {}) : Promise.resolve([])),
          vms: async () => [],
          isDriven: () => true,
        },
        logger: { ...silentLogger(), error },
      }),
    );
    await chores.tidy();
    expect(chores.leaks()).toBe(0);
    isHanging = true;
    void chores.tidy();
    vi.advanceTimersByTime(30_000);
    expect(error).toHaveBeenCalledExactlyOnceWith(
      expect.stringContaining("taking up sessions that nobody looks after takes"),
    );
    vi.advanceTimersByTime(150_001);
    expect(chores.leaks()).toBeNaN();
  } finally {
    vi.useRealTimers();
  }
});

test("a clock that goes 40 days ahead between two rounds makes neither sessions nor evidence old", async () => {
  const paths = dataPaths(mkdtempSync(join(tmpdir(), "sallyport-chores-")));
  mkdirSync(paths.evidence("ses_1"), { recursive: true });
  const times: number[] = [];
  const chores = createChores(deps({ paths, forgetHistory: async (now: number) => (times.push(now), 0) }));
  await chores.tidy();
  const rightNow = Date.now.bind(Date);
  Date.now = () => rightNow() + 40 * 86_400_000;
  try {
    await chores.tidy();
  } finally {
    Date.now = rightNow;
  }
  expect(times[1]! - times[0]!).toBeLessThan(3_600_000);
  expect(existsSync(paths.evidence("ses_1"))).toBe(true);
  rmSync(paths.root, { recursive: true });
});
