import { expect, test } from "vitest";
import { createCostBudget, createSharedBudget } from "./cost-budget.ts";

/** A clock that goes on by what is waited and by what work takes. */
const world = () => {
  let at = 0;
  let usedMs = 0;
  const now = () => at;
  const all = createSharedBudget(now);
  return {
    now,
    guest: () => createCostBudget({ all, now, used: () => usedMs }),
    work:
      (ms: number, { heldUpMs = 0, besideMs = 0 } = {}) =>
      () => {
        at += ms + heldUpMs;
        usedMs += ms + besideMs;
      },
    pass: (ms: number) => void (at += ms),
  };
};

/** Floods for `ms`: each piece costs 2 ms, and is looked at as soon as it may be. Answers the share of a processor that it got. */
const flood = ({ now, guest, work, pass }: ReturnType<typeof world>, ms: number, guests = 1) => {
  const budgets = Array.from({ length: guests }, guest);
  const until = now() + ms;
  while (now() < until) {
    for (const budget of budgets) if (budget.waitMs === 0) budget.spend(work(2));
    pass(1);
  }
  return { budgets, share: budgets.reduce((sum, { spentMs }) => sum + spentMs, 0) / ms };
};

test("a guest that floods gets a tenth of a processor, and is given up after fifteen seconds", () => {
  const { budgets, share } = flood(world(), 14_000);
  expect(share).toBeGreaterThan(0.09);
  expect(share).toBeLessThan(0.13);
  expect(budgets[0]?.isHopeless).toBe(false);
  expect(flood(world(), 16_000).budgets[0]?.isHopeless).toBe(true);
});

test("many that flood get a fifth together, and what each of them is sure of", () => {
  expect(flood(world(), 60_000, 10).share).toBeLessThan(0.32);
});

test("one that costs little never waits, however many flood beside it", () => {
  const here = world();
  const honest = here.guest();
  const flooding = Array.from({ length: 3 }, here.guest);
  for (let round = 0; round < 30_000; round++) {
    for (const budget of flooding) if (budget.waitMs === 0) budget.spend(here.work(2));
    if (round % 1000 === 0) honest.spend(here.work(5));
    expect(honest.waitMs).toBe(0);
    here.pass(1);
  }
});

test("a burst is forgiven: who rests is not given up", () => {
  const here = world();
  const budget = here.guest();
  for (let bursts = 0; bursts < 20; bursts++) {
    budget.spend(here.work(400));
    expect(budget.waitMs).toBeGreaterThan(0);
    here.pass(5000);
    expect(budget.waitMs).toBe(0);
    expect(budget.isHopeless).toBe(false);
  }
});

test("a guest pays neither for a host that is busy with others nor for what this process does beside it", () => {
  const { guest, work } = world();
  const [heldUp, beside] = [guest(), guest()];
  heldUp.spend(work(1, { heldUpMs: 5000 }));
  beside.spend(work(1, { besideMs: 5000 }));
  expect([heldUp, beside].map(({ spentMs, waitMs }) => [Math.round(spentMs), waitMs])).toEqual([
    [1, 0],
    [1, 0],
  ]);
});
