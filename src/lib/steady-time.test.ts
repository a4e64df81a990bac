import { expect, test } from "vitest";
import { createSteadyTime } from "./steady-time.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

const clocks = () => {
  let [wall, monotonic] = [1000 * DAY, 5];
  const now = createSteadyTime(30, { wall: () => wall, monotonic: () => monotonic });
  return {
    now,
    wall: () => wall,
    pass: (ms: number) => ([wall, monotonic] = [wall + ms, monotonic + ms]),
    set: (ms: number) => (wall += ms),
  };
};

test("a clock that is set forward makes nothing older, for as long as what was there is kept", () => {
  const { now, wall, pass, set } = clocks();
  const begun = wall();
  pass(MINUTE);
  expect(now()).toBe(begun + MINUTE);
  set(40 * DAY);
  pass(MINUTE);
  expect(now()).toBe(begun + 2 * MINUTE);
  pass(MINUTE);
  expect(now()).toBe(begun + 3 * MINUTE);
  pass(31 * DAY);
  expect(now()).toBe(wall());
});

test("a clock that is set right again counts at once; one that is set back or a little counts as it is", () => {
  const { now, wall, pass, set } = clocks();
  for (const ms of [40 * DAY, -40 * DAY]) {
    set(ms);
    pass(MINUTE);
    now();
  }
  expect(now()).toBe(wall());
  set(-2 * DAY);
  expect(now()).toBe(wall());
  set(MINUTE / 2);
  expect(now()).toBe(wall());
});
