import { expect, test } from "vitest";
import { MAX_ANSWER_DEPTH, MAX_ANSWER_PARTS } from "../contract/guest.ts";
import { isModest } from "./modest.ts";

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

test.each([
  ["as deep as allowed", nested(MAX_ANSWER_DEPTH), true],
  ["deeper", nested(MAX_ANSWER_DEPTH + 1), false],
  ["objects and lists in turn, deeper", `${'{"a":['.repeat(MAX_ANSWER_DEPTH)}`, false],
  ["as many parts as allowed", `[${"0,".repeat(MAX_ANSWER_PARTS - 1)}0]`, true],
  ["more", `[${"0,".repeat(MAX_ANSWER_PARTS)}0]`, false],
  ["many short lists side by side", `[${"[],".repeat(MAX_ANSWER_PARTS / 2)}]`, false],
  ["brackets and commas that are text", JSON.stringify(["[{,".repeat(10_000)]), true],
  ["a quote that is text before it goes on", JSON.stringify(['"'.repeat(5000), "[".repeat(50)]), true],
  ["a text that ends in a backslash before real ones", `["\\\\",${nested(MAX_ANSWER_DEPTH)}]`, false],
])("%s", (_what, text, expected) => {
  expect(isModest(Buffer.from(text))).toBe(expected);
});
