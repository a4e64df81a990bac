import { expect, test } from "vitest";
import { healthyGuestFacts } from "../../test/fixtures/facts.ts";
import { guestMachine, guestUnits } from "../contract/diagnosis.ts";
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

test("the longest lists that a guest's facts may have are modest", () => {
  const facts = healthyGuestFacts({ address: "192.168.100.5", gateway: "192.168.100.1", mac: "06:00:c0:a8:64:05" });
  const LIMITS = { links: 32, virtioDevices: 64, addresses: 64, routes: 64, units: 128, listening: 128 };
  const full = Object.entries(LIMITS).map(([name, limit]) => {
    const [one] = facts[name as keyof typeof LIMITS];
    return [name, Array.from({ length: limit }, () => one)];
  });
  const most = {
    ...facts,
    ...Object.fromEntries(full),
    failedUnits: Array.from({ length: 64 }, () => "a.service"),
    missing: Array.from({ length: 200 }, () => "a part"),
  };
  for (const result of [guestMachine.parse(most), guestUnits.parse(most)]) {
    expect(isModest(Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, result })))).toBe(true);
  }
  const { units, addresses, ...rest } = most;
  for (const more of [
    { ...rest, addresses, units: [...units, ...units] },
    { ...rest, units, addresses: [...addresses, ...addresses] },
  ]) {
    expect(guestMachine.safeParse(more).success && guestUnits.safeParse(more).success).toBe(false);
  }
});
