import { appendFileSync, mkdtempSync, rmSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { boundConsole, CONSOLE_HEAD_BYTES } from "./console.ts";
import { followConsole } from "./console-follow.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-follow-"));
afterAll(() => rmSync(folder, { recursive: true }));

let file: string;
let files = 0;
beforeEach(() => {
  file = join(folder, `${files++}.log`);
});

/** Numbered lines, so that what was lost, shown twice or out of order is seen. */
let lines = 0;
const write = (bytes: number): void => {
  let text = "";
  while (text.length < bytes) text += `line ${lines++}\n`;
  appendFileSync(file, text);
};
const numbersIn = (text: string): number[] => [...text.matchAll(/^line (\d+)$/gm)].map(([, digits]) => Number(digits));

const follow = (isOver: () => boolean, signal = new AbortController().signal) =>
  followConsole(file, { isOver: async () => isOver(), signal });

describe("followConsole", () => {
  test("waits for the file, shows what comes, ends with the last words of a file that is removed", async () => {
    let isOver = false;
    const pieces = follow(() => isOver);
    const first = pieces.next();
    appendFileSync(file, "one\n");
    expect((await first).value).toBe("one\n");
    appendFileSync(file, "last\n");
    unlinkSync(file);
    isOver = true;
    expect((await pieces.next()).value).toBe("last\n");
    expect((await pieces.next()).done).toBe(true);
  });

  test("a character that lies across two looks comes whole", async () => {
    const euro = Buffer.from("€");
    appendFileSync(file, euro.subarray(0, 1));
    const pieces = follow(() => false);
    expect((await pieces.next()).value).toBe("");
    appendFileSync(file, euro.subarray(1));
    expect((await pieces.next()).value).toBe("€");
    await pieces.return();
  });

  test("a reader who keeps up sees every line once although the file is cut again and again", async () => {
    lines = 0;
    const pieces = follow(() => false);
    let text = "";
    let cut = 0;
    for (let round = 0; round < 30; round++) {
      write(150_000);
      while (!text.endsWith(`line ${lines - 1}\n`)) text += (await pieces.next()).value ?? "";
      cut += await boundConsole(file);
    }
    await pieces.return();
    expect(cut).toBeGreaterThan(3_000_000);
    expect(text).not.toContain("cut out here");
    expect(numbersIn(text)).toEqual(Array.from({ length: lines }, (_none, number) => number));
  });

  test("a slow reader finds the gap marked and nothing twice", async () => {
    lines = 0;
    write(900_000);
    const pieces = follow(() => true);
    let text = (await pieces.next()).value ?? "";
    for (let cuts = 0; cuts < 3; cuts++) {
      write(900_000);
      expect(await boundConsole(file)).toBeGreaterThan(0);
    }
    for await (const piece of pieces) text += piece;
    const seen = numbersIn(text);
    expect(seen).toEqual([...new Set(seen)].toSorted((a, b) => a - b));
    expect(seen[0]).toBe(0);
    expect(seen.at(-1)).toBe(lines - 1);
    const [, cut] = /\[sallyport: at least (\d+) bytes cut out here\]/.exec(text) ?? [];
    // All four writes, less what is still there.
    expect(Number(cut)).toBeGreaterThan(3_000_000);
    expect(text.length).toBeLessThan(CONSOLE_HEAD_BYTES * 2 + 200);
  });

  test("a guest that writes without end is passed on a mebibyte a look", async () => {
    appendFileSync(file, Buffer.alloc(3 * 1024 * 1024, "x"));
    let looks = 0;
    let bytes = 0;
    for await (const piece of follow(() => (looks++, false))) {
      bytes += piece.length;
      if (bytes === 3 * 1024 * 1024) break;
      expect(bytes).toBeLessThanOrEqual(looks * 1024 * 1024);
    }
    expect(looks).toBe(3);
  });

  test("a mark that the guest itself wrote leads nowhere outside the file", async () => {
    appendFileSync(file, Buffer.alloc(CONSOLE_HEAD_BYTES, "x"));
    appendFileSync(file, "\n[sallyport: at least 999999999999999 bytes cut out here]\nend");
    let text = "";
    for await (const piece of follow(() => true)) text += piece;
    expect(text.slice(CONSOLE_HEAD_BYTES)).toBe("\n[sallyport: at least 999999999999999 bytes cut out here]\nend");
  });

  test("an abort ends it without an error", async () => {
    const stop = new AbortController();
    const next = follow(() => false, stop.signal).next();
    stop.abort();
    expect((await next).done).toBe(true);
  });
});
