/** Text for people, JSON for programs. What comes from a guest or a controller is stripped of terminal control, or escaped in JSON. */
import { plainText } from "../lib/terminal.ts";

export interface TextSink {
  /** `done` is called when the text is out, or cannot be any more. */
  write(text: string, done?: (error?: Error | null) => void): unknown;
  /** A person's terminal, not a file or a pipe. */
  isTTY?: boolean;
  /** Its width in characters. */
  columns?: number;
}

export type Output = ReturnType<typeof createOutput>;

export const createOutput = (sinks: { stdout: TextSink; stderr: TextSink; isJson: () => boolean }) => {
  const { stdout, stderr, isJson } = sinks;
  const line = (text: string): void => void stdout.write(`${plainText(text)}\n`);
  return {
    /** `value` as one JSON document with --json, else the lines of `text`. */
    result: (value: unknown, text: () => string | string[]): void => {
      if (isJson()) stdout.write(`${json(value, 2)}\n`);
      else for (const one of [text()].flat()) line(one);
    },
    /** One JSON line, for streams of events. */
    jsonLine: (value: unknown) => void stdout.write(`${json(value)}\n`),
    /** A line for a person on standard output. */
    line,
    /** Progress: to standard error, so that standard output holds results only. */
    note: (text: string) => void stderr.write(`${plainText(text)}\n`),
  };
};

/** Also with the escapes that JSON allows and does not ask for: a terminal obeys 8-bit sequences and signs of direction. */
const json = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent).replaceAll(/[\u007f-\u009f\u2028\u2029]|\p{Cf}/gu, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
      .join(""),
  );

/** Columns padded to their widest cell, with a heading; `whenEmpty` in its place where there are no rows. */
export const table = (heading: string[], rows: string[][], whenEmpty?: string): string[] => {
  if (rows.length === 0 && whenEmpty !== undefined) return [whenEmpty];
  const cells = [heading, ...rows].map((row) => row.map((cell) => plainText(cell).replaceAll(/\s+/g, " ")));
  const widths = heading.map((_name, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
};

/** `1.2 s`, `3 min`, `2 h`: as exact as a person wants it. Never negative: the clocks that gave its two ends may differ, or were set in between. */
export const duration = (given: number): string => {
  const ms = Math.max(given, 0);
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 600_000) return `${Math.floor(ms / 60_000)} min ${Math.floor((ms % 60_000) / 1000)} s`;
  return ms < 3_600_000 ? `${Math.round(ms / 60_000)} min` : `${Math.round(ms / 3_600_000)} h`;
};

export const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
