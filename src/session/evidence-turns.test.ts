import { setImmediate as immediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { createEvidenceTurns } from "./evidence-turns.ts";

test("a session's evidence is made once for all who ask meanwhile, and anew afterwards", async () => {
  const take = createEvidenceTurns();
  let made = 0;
  const make = async () => Buffer.from(String(++made));
  const asked = await Promise.all(Array.from({ length: 800 }, () => take("ses_a", make)));
  expect(new Set(asked.map(String))).toEqual(new Set(["1"]));
  expect(String(await take("ses_a", make))).toBe("2");
});

test("one at a time, with a rest of four times as long as it took of the processor", async () => {
  const events: string[] = [];
  let usedMs = 1_000;
  const take = createEvidenceTurns({
    usedMs: () => usedMs,
    rest: async (ms) => {
      events.push(`rests ${ms} ms`);
      await immediate();
      events.push("rested");
    },
  });
  const make = (name: string, tookMs: number) => async () => {
    events.push(`begins ${name}`);
    await immediate();
    usedMs += tookMs;
    events.push(`has ${name}`);
    return Buffer.of();
  };
  await Promise.all([take("ses_a", make("a", 50)), take("ses_b", make("b", 5_000)), take("ses_c", make("c", 0))]);
  // The last one's rest may have begun. However long one took, its rest is 10 s at most.
  expect(events.slice(0, 10).join(", ")).toBe(
    "begins a, has a, rests 200 ms, rested, begins b, has b, rests 10000 ms, rested, begins c, has c",
  );
});

test("what it took is measured, and rested for, when nobody says otherwise", async () => {
  const events: string[] = [];
  const take = createEvidenceTurns();
  const make = (name: string, tookMs: number) => async () => {
    const before = process.cpuUsage();
    const took = (): number => process.cpuUsage(before).user / 1000;
    while (took() < tookMs);
    events.push(name);
    return Buffer.of();
  };
  const first = take("ses_a", make("a", 10));
  const second = take("ses_b", make("b", 0));
  await first;
  // Whose timer is set before the rest's has the shorter one: in order, however late both are.
  await new Promise((resolve) => setTimeout(resolve, 20));
  events.push("20 ms later");
  await second;
  expect(events).toEqual(["a", "20 ms later", "b"]);
});

test("who fails is told, and the next one has its turn; too many are refused", async () => {
  const take = createEvidenceTurns();
  await expect(take("ses_a", () => Promise.reject(new Error("no console")))).rejects.toThrow("no console");
  const held = Promise.withResolvers<Buffer>();
  const waiting = Array.from({ length: 16 }, (_, i) => take(`ses_${i}`, () => held.promise));
  await expect(take("ses_last", () => held.promise)).rejects.toMatchObject({ code: "too-many-evidence" });
  held.resolve(Buffer.of());
  await Promise.all(waiting);
});
