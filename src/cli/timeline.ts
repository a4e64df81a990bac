/** A session's boot drawn to scale: a bar for each stage, where it began and how long it took. */
import type { SessionView } from "../contract/api.ts";
import { awaitedStage, type StartStage } from "../contract/session.ts";
import { duration } from "./output.ts";

export interface TimelineRow {
  stage: StartStage;
  /** Milliseconds since the session was asked for. */
  startMs: number;
  endMs: number;
  outcome: "passed" | "running" | "missed";
  /** What said so; absent until something does. */
  source?: string;
  /** What keeps the running one from passing, where it is known. */
  warning?: string;
}

export interface DrawOptions {
  /** Characters of a line. */
  width: number;
  /** Block characters; else ASCII, for files and logs. */
  canDraw: boolean;
}

/** Passed stages, and the one that is waited for or that was missed. */
export const timelineOf = (session: SessionView, nowMs: number): TimelineRow[] => {
  const zeroMs = Date.parse(session.createdAt);
  const msAt = (time: string): number => Date.parse(time) - zeroMs;
  const passed = session.stages.flatMap(({ stage, startedAt, endedAt, source }): TimelineRow[] =>
    endedAt === null ? [] : [{ stage, startMs: msAt(startedAt), endMs: msAt(endedAt), outcome: "passed", source }],
  );
  const startMs = passed.at(-1)?.endMs ?? 0;
  const { verdict } = session;
  if (verdict?.stage) {
    return [...passed, { stage: verdict.stage, startMs, endMs: msAt(verdict.at), outcome: "missed" }];
  }
  const stage = awaitedStage(session.stages);
  const isBooting = ["requested", "starting"].includes(session.state);
  if (!stage || !isBooting) return passed;
  const known = session.warning ? { warning: session.warning.code } : {};
  return [...passed, { stage, startMs, endMs: nowMs - zeroMs, outcome: "running", ...known }];
};

const MARKS = {
  blocks: { passed: "█", running: "░", missed: "▒" },
  ascii: { passed: "=", running: ".", missed: "!" },
} as const;

/** Name, time, bar, and what said so or that nothing did yet. */
export const drawTimeline = (rows: TimelineRow[], { width, canDraw }: DrawOptions): string[] => {
  const totalMs = Math.max(...rows.map(({ endMs }) => endMs), 1);
  const notes = rows.map(({ outcome, source, warning }) =>
    outcome === "passed" ? (source ?? "") : (warning ?? NOTES[outcome]),
  );
  const barWidth = Math.max(width - LEFT - Math.max(...notes.map(({ length }) => length)) - 2, 8);
  const column = (ms: number): number => Math.round((Math.min(Math.max(ms, 0), totalMs) / totalMs) * barWidth);
  const marks = canDraw ? MARKS.blocks : MARKS.ascii;

  return rows.map(({ stage, startMs, endMs, outcome }, index) => {
    // A stage too short for the scale is still seen.
    const from = Math.min(column(startMs), barWidth - 1);
    const length = Math.max(column(endMs) - from, 1);
    const bar = " ".repeat(from) + marks[outcome].repeat(length);
    const took = duration(endMs - startMs);
    return `  ${stage.padEnd(10)}${took.padStart(8)}  ${bar.padEnd(barWidth)}  ${notes[index]}`.trimEnd();
  });
};

const NOTES = { running: "running", missed: "not passed" } as const;

/** Width of indent, name, time and the gap before the bar. */
const LEFT = 2 + 10 + 8 + 2;
