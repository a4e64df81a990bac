import { randomInt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { MAX_LINE_BYTES } from "../contract/guest.ts";
import { createLineSplitter, decodeLine } from "./lines.ts";

const splitter = (maxBytes?: number) => {
  const seen = { lines: [] as string[], garbage: 0 };
  const lines = createLineSplitter({
    onLine: (line) => seen.lines.push(decodeLine(line) ?? "no UTF-8"),
    onGarbage: () => seen.garbage++,
    ...(maxBytes === undefined ? {} : { maxBytes }),
  });
  return { seen, lines };
};

describe("line splitter", () => {
  test("cuts the same lines wherever the stream is broken up", () => {
    const texts = ["a", "", "zweite Zeile äöü €", '{"x":"\\n"}', "😀".repeat(3000), "end"];
    const stream = Buffer.from(texts.map((text) => `${text}\n`).join(""));
    for (let round = 0; round < 200; round++) {
      const { seen, lines } = splitter();
      for (let at = 0; at < stream.length;) {
        const next = at + randomInt(1, round % 2 === 0 ? 4 : 8000);
        lines.push(stream.subarray(at, next));
        at = next;
      }
      expect(seen).toEqual({ lines: texts.filter((text) => text !== ""), garbage: 0 });
    }
  });

  test("takes a line of exactly the limit and drops one a byte longer, up to its newline", () => {
    const { seen, lines } = splitter(10);
    lines.push(Buffer.from(`${"a".repeat(10)}\n${"b".repeat(11)}\nnext\n`));
    for (const byte of Buffer.from(`${"c".repeat(10)}\n${"d".repeat(30)}\nlast\n`)) lines.push(Buffer.from([byte]));
    expect(seen).toEqual({ lines: ["a".repeat(10), "next", "c".repeat(10), "last"], garbage: 2 });
  });

  test("holds no more than the limit of a line of 1 GiB", () => {
    const { seen, lines } = splitter();
    const block = Buffer.alloc(64 * 1024, "a");
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 16_384; i++) lines.push(block);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * MAX_LINE_BYTES);
    lines.push(Buffer.from("\nok\n"));
    expect(seen).toEqual({ lines: ["ok"], garbage: 1 });
  });

  test("gives bytes that are no UTF-8 as they are, which is told when they are decoded", () => {
    const { seen, lines } = splitter();
    lines.push(Buffer.from([0xff, 0xfe, 0x0a, 0xc3, 0x0a, 0x6f, 0x6b, 0x0a]));
    expect(seen).toEqual({ lines: ["no UTF-8", "no UTF-8", "ok"], garbage: 0 });
  });

  test("forgets half a line on reset", () => {
    const { seen, lines } = splitter();
    lines.push(Buffer.from("half"));
    lines.reset();
    lines.push(Buffer.from("whole\n"));
    expect(seen).toEqual({ lines: ["whole"], garbage: 0 });
  });
});
