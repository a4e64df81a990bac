import { expect, test } from "vitest";
import { once, together } from "./once.ts";

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

test("is asked by whoever comes when no question is open, and answers those who come meanwhile", async () => {
  const asked: string[] = [];
  const ask = together(async (who: string) => {
    asked.push(who);
    if (asked.length === 2) throw new Error(`not for ${who}`);
    return `for ${who}`;
  });
  expect(await Promise.all([ask("ann"), ask("bob")])).toEqual(["for ann", "for ann"]);
  await expect(ask("cat")).rejects.toThrow("not for cat");
  expect(await ask("dan")).toBe("for dan");
  expect(asked).toEqual(["ann", "cat", "dan"]);
});
