import { expect, test } from "vitest";
import type { Client } from "../src/client/client.ts";
import type { SessionView, WarmView } from "../src/contract/api.ts";
import { ensureWarm, inWords, waitingOf } from "./waiting.ts";

const snapshot = { imageDigest: "sha256:1", madeAt: "2026-01-01T00:00:00.000Z", coldMs: 41_300, vmm: "qemu 10" };
const signal = AbortSignal.timeout(10_000);

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 2) + seconds * 1000).toISOString();
const viewOf = (stages: [stage: string, from: number, to: number, note?: string][]): SessionView =>
  ({
    createdAt: at(0),
    stages: stages.map(([stage, from, to, note]) => ({
      stage,
      startedAt: at(from),
      endedAt: at(to),
      source: "test",
      ...(note === undefined ? {} : { note }),
    })),
  }) as unknown as SessionView;

/** Answers each question with the next view; the last one again and again. */
const asked = (views: Partial<WarmView>[]): Pick<Client, "warm" | "makeWarm"> => {
  const next = async (): Promise<WarmView> => {
    const view = views.length > 1 ? views.shift() : views[0];
    return { isOn: true, snapshot: null, pool: { size: 0, ready: 0 }, doing: null, failure: null, ...view };
  };
  return { warm: next, makeWarm: next };
};

test("a clone's waiting is beside what its snapshot's machine took", () => {
  const waiting = waitingOf(
    viewOf([
      ["leased", 0, 0.1],
      ["restored", 0.1, 1, "from it"],
      ["screen", 1, 3.2],
    ]),
    snapshot,
  );
  expect(waiting).toEqual({ readyMs: 3200, coldMs: 41_300, isWarm: true, note: "from it" });
  expect(inWords(waiting)).toBe(
    "You waited 3.2 s for the browser. Cold, without the warm snapshot, it would have been 41 s.",
  );
});

test("a boot says why it was one; what a clone before it took is no part of a cold start", () => {
  const waiting = waitingOf(
    viewOf([
      ["leased", 0, 9],
      ["vmm-up", 9, 10, "cold: it is damaged"],
      ["browser", 10, 50],
    ]),
    snapshot,
  );
  expect(waiting).toEqual({ readyMs: 50_000, coldMs: 41_000, isWarm: false, note: "cold: it is damaged" });
  expect(inWords(waiting)).toBe("You waited 50 s for the browser: its machine booted (cold: it is damaged).");
});

test("a snapshot that is there is used; else one is made, step by step, or the reason is told", async () => {
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  expect(await ensureWarm(asked([{ snapshot }]), say, signal)).toEqual(snapshot);
  expect(lines).toEqual([`warm snapshot: there is one, made ${snapshot.madeAt}`]);
  expect(await ensureWarm(asked([{}, { doing: "booting" }, { doing: "freezing" }, { snapshot }]), say, signal)).toEqual(
    snapshot,
  );
  expect(lines.slice(2)).toEqual(["warm snapshot: booting", "warm snapshot: freezing"]);
  const failing = ensureWarm(asked([{}, { failure: "No space left on device" }]), say, signal);
  await expect(failing).rejects.toMatchObject({
    code: "no-snapshot",
    message: "No warm snapshot could be made: No space left on device",
  });
});
