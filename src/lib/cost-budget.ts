/**
 * What hostile guests may cost this process, in time that it spends on what they wrote. Measured and not estimated: whichever bytes
 * are dear, whoever sends them soon has to wait, and an honest guest, which costs a thousandth of a processor, never notices.
 */

export type CostBudget = ReturnType<typeof createCostBudget>;

/** Of one processor, for one guest and for all together, and what may be spent at once after a quiet time. */
const OWN = { share: 0.1, burstMs: 300 };
const ALL = { share: 0.2, burstMs: 600 };
/** What others cannot take from a guest: when two of them flood, the third still answers. */
const FLOOR = { share: 0.01, burstMs: 30 };

const PATIENCE_MS = 15_000;
/** A shorter pause would cost more than it saves. */
const SHORTEST_WAIT_MS = 50;
/** The kernel's and Node's part in handing over a piece, which is not seen from inside. */
const UNSEEN_MS = 0.02;

type Clock = () => number;
const monotonic: Clock = () => performance.now();
/** Of this process, all of its threads, in milliseconds. */
const processor: Clock = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** Runs over when more than `burstMs` is in it, and loses `share` of each millisecond that passes. */
const createBucket = ({ share, burstMs }: { share: number; burstMs: number }, now: Clock) => {
  let level = 0;
  let levelAt = now();
  const settled = (): number => {
    const at = now();
    level = Math.max(0, level - (at - levelAt) * share);
    levelAt = at;
    return level;
  };
  return {
    add: (ms: number) => void (level = settled() + ms),
    get waitMs() {
      return Math.max(0, settled() - burstMs) / share;
    },
    get isEmpty() {
      return settled() === 0;
    },
  };
};

export const createSharedBudget = (now = monotonic) => createBucket(ALL, now);

/** The processor is this process's own, and so is what all of its guests share. */
const ALL_GUESTS = createSharedBudget();

/** For one guest, or for one of the ways in which it is read. */
export const createCostBudget = ({ all = ALL_GUESTS, now = monotonic, used = processor } = {}) => {
  const own = createBucket(OWN, now);
  const floor = createBucket(FLOOR, now);
  let spentMs = 0;
  let strainedSince: number | undefined;

  return {
    /**
     * Does the work that a guest's bytes make and counts what it took: of the processor, so that a guest does not pay for a host that
     * has others to serve, and of the clock, so that it does not pay for what this process does beside it. Whatever the work throws is thrown.
     */
    spend: <T>(work: () => T): T => {
      if (own.isEmpty) strainedSince = undefined;
      const startedAt = now();
      const usedBefore = used();
      try {
        return work();
      } finally {
        const ms = Math.min(now() - startedAt, used() - usedBefore) + UNSEEN_MS;
        spentMs += ms;
        for (const bucket of [own, floor, all]) bucket.add(ms);
        if (own.waitMs > 0) strainedSince ??= startedAt;
      }
    },
    /** Milliseconds until more of the guest's bytes may be looked at; 0: now. */
    get waitMs() {
      const ms = Math.max(own.waitMs, Math.min(all.waitMs, floor.waitMs));
      return ms > 0 ? Math.max(ms, SHORTEST_WAIT_MS) : 0;
    },
    /** Overdrawn for longer than PATIENCE_MS without having been left alone long enough to recover: waiting does not help. */
    get isHopeless() {
      return strainedSince !== undefined && !own.isEmpty && now() - strainedSince > PATIENCE_MS;
    },
    /** Milliseconds spent so far. */
    get spentMs() {
      return spentMs;
    },
  };
};
