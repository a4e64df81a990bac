import { describe, expect, test } from "vitest";
import type { SessionView } from "../contract/api.ts";
import { BOOT_STAGES, type Verdict } from "../contract/session.ts";
import { drawTimeline, timelineOf } from "./timeline.ts";

const ZERO = Date.parse("2026-01-01T00:00:00.000Z");
const at = (seconds: number): string => new Date(ZERO + seconds * 1000).toISOString();

/** Ends of the stages passed so far, in seconds. */
const session = (ends: number[], change: Partial<SessionView> = {}): SessionView => ({
  sessionId: "ses_1",
  provider: "oidc",
  userId: "ann",
  wrongPairingCodes: 0,
  state: "starting",
  stages: ends.map((end, index) => ({
    stage: BOOT_STAGES[index] ?? "browser",
    startedAt: at(ends[index - 1] ?? 0),
    endedAt: at(end),
    source: ["ledger", "qemu", "console", "channel", "channel", "network", "network", "channel"][index] ?? "",
  })),
  browserIP: null,
  vmId: null,
  vm: null,
  createdAt: at(0),
  expiresAt: at(900),
  hasViewer: false,
  credential: "awaited",
  warning: null,
  verdict: null,
  outcome: null,
  hostId: "hst_000000000000",
  hasReceipt: false,
  ...change,
});

const WHOLE = [0.02, 0.6, 1.7, 16, 16.1, 16.4, 18, 37.2];

describe("timelineOf", () => {
  test("the stage that is waited for runs since the last one was passed", () => {
    expect(timelineOf(session(WHOLE.slice(0, 3)), ZERO + 10_000).at(-1)).toEqual({
      stage: "agent",
      startMs: 1700,
      endMs: 10_000,
      outcome: "running",
    });
  });

  test("nothing runs once all are passed, or the session was ended in between", () => {
    expect(timelineOf(session(WHOLE, { state: "ready" }), ZERO + 99_000)).toHaveLength(8);
    expect(timelineOf(session(WHOLE.slice(0, 3), { state: "destroyed" }), ZERO + 99_000)).toHaveLength(3);
    expect(timelineOf(session([]), ZERO + 5)).toMatchObject([{ stage: "leased", outcome: "running" }]);
  });

  test("a missed stage ends with its verdict, whatever time it is now", () => {
    const verdict = { code: "x", stage: "agent", at: at(60) } as Verdict;
    const rows = timelineOf(session(WHOLE.slice(0, 3), { state: "failed", verdict }), ZERO + 999_000);
    expect(rows.at(-1)).toEqual({ stage: "agent", startMs: 1700, endMs: 60_000, outcome: "missed" });
  });
});

describe("drawTimeline", () => {
  test("to scale, in 80 columns", () => {
    expect(`\n${drawTimeline(timelineOf(session(WHOLE), ZERO), { width: 80, canDraw: true }).join("\n")}\n`).toBe(`
  leased       0.0 s  █                                                  ledger
  vmm-up       0.6 s  █                                                  qemu
  kernel       1.1 s   █                                                 console
  agent       14.3 s    ███████████████████                              channel
  addressed    0.1 s                       █                             channel
  reachable    0.3 s                       █                             network
  display      1.6 s                        ██                           network
  browser     19.2 s                          █████████████████████████  channel
`);
  });

  test("what runs and what was missed is told apart, in ASCII too", () => {
    const running = drawTimeline(timelineOf(session(WHOLE.slice(0, 3)), ZERO + 10_000), { width: 60, canDraw: false });
    expect(running.at(-1)).toMatch(/^  agent        8\.3 s {3,}\.{20,} +running$/);
    const verdict = { code: "x", stage: "agent", at: at(60) } as Verdict;
    const missed = drawTimeline(timelineOf(session(WHOLE.slice(0, 3), { verdict }), ZERO), {
      width: 60,
      canDraw: false,
    });
    expect(missed.at(-1)).toMatch(/^  agent       58\.3 s +!{20,} +not passed$/);
  });

  test.each([40, 60, 80, 200])("no line is wider than %i, and every stage is seen", (width) => {
    for (const line of drawTimeline(timelineOf(session(WHOLE), ZERO), { width, canDraw: true })) {
      expect(line.length).toBeLessThanOrEqual(width);
      expect(line).toContain("█");
    }
  });
});
