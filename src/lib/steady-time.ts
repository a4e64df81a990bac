/** The wall clock for what is removed for its age: a jump of it makes nothing older. */

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** `wall`: milliseconds since 1970, as somebody set it; `monotonic`: those of which none is left out or counted twice. */
const CLOCKS = { wall: () => Date.now(), monotonic: () => performance.now() };

/**
 * Milliseconds since 1970, without what the wall clock went ahead by more than a minute between two calls. After `keepDays` of waiting
 * what was there before the jump is as old as that in truth, and the wall clock counts again. What it did before the first call, while no
 * process looked, nobody knows.
 */
export const createSteadyTime = (keepDays: number, { wall, monotonic } = CLOCKS): (() => number) => {
  let last = { wall: wall(), monotonic: monotonic() };
  let [ahead, jumpedAt] = [0, 0];
  return () => {
    const now = { wall: wall(), monotonic: monotonic() };
    const jumped = now.wall - last.wall - (now.monotonic - last.monotonic);
    last = now;
    if (Math.abs(jumped) > MINUTE_MS) {
      ahead = Math.max(ahead + jumped, 0);
      if (jumped > 0) jumpedAt = now.monotonic;
    } else if (now.monotonic - jumpedAt > keepDays * DAY_MS) {
      ahead = 0;
    }
    return now.wall - ahead;
  };
};
