import { expect, test } from "vitest";
import { once } from "./once.ts";

test("is asked once, by whoever comes first, and by the next when that failed", async () => {
  const asked: string[] = [];
  const ask = once(async (who: string) => {
    asked.push(who);
    if (asked.length === 1) throw new Error(`not for ${who}`);
    return `for ${who}`;
  });
  const first = [ask("ann"), ask("bob")];
  for (const one of first) await expect(one).rejects.toThrow("not for ann");
  expect(await Promise.all([ask("cat"), ask("dan")])).toEqual(["for cat", "for cat"]);
  expect(asked).toEqual(["ann", "cat"]);
});
