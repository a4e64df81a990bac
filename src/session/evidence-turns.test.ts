import { expect, test } from "vitest";
import { createEvidenceTurns } from "./evidence-turns.ts";

const busy = (ms: number): void => {
  const until = performance.now() + ms;
  while (performance.now() < until);
};

test("a session's evidence is made once for all who ask meanwhile, and anew afterwards", async () => {
  const take = createEvidenceTurns();
  let made = 0;
  const make = async () => Buffer.from(String(++made));
  const asked = await Promise.all(Array.from({ length: 800 }, () => take("ses_a", make)));
  expect(new Set(asked.map(String))).toEqual(new Set(["1"]));
  expect(String(await take("ses_a", make))).toBe("2");
});

test("one at a time, with a rest of four times as long as it took of the processor", async () => {
  const take = createEvidenceTurns();
  const at: { begun: number; ended: number }[] = [];
  const make = async () => {
    const begun = performance.now();
    busy(50);
    at.push({ begun, ended: performance.now() });
    return Buffer.of();
  };
  await Promise.all([take("ses_a", make), take("ses_b", make)]);
  // Half, for a machine on which others run: less than all of the 50 ms was this process's.
  expect((at[1]?.begun ?? 0) - (at[0]?.ended ?? 0)).toBeGreaterThan(100);
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
