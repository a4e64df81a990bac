/** Evidence is dear to make, by the guest's choice of what it wrote, and anybody with a session may ask for it. */
import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "../lib/errors.ts";
import { createMutex } from "../lib/mutex.ts";

/** Sessions whose evidence is waited for. */
const MAX_WAITING = 16;
/** How many times as long as one took of the processor nothing is done: all of them together get a fifth of it. */
const REST = 4;
const MAX_REST_MS = 10_000;

/** What the processor gave this process so far, and how it rests; in ms. */
export interface Effort {
  usedMs: () => number;
  rest: (ms: number) => Promise<void>;
}

const OF_THIS_PROCESS: Effort = {
  usedMs: () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
  rest: (ms) => sleep(ms, undefined, { ref: false }),
};

/**
 * Answers a function that has evidence made by `make`: for one session at a time, shared by all who ask for it meanwhile, with a rest in
 * proportion after each. Throws AppError `too-many-evidence` (429) when too many others wait.
 */
export const createEvidenceTurns = ({ usedMs, rest } = OF_THIS_PROCESS) => {
  const inTurn = createMutex();
  const awaited = new Map<string, Promise<Buffer>>();
  return async (sessionId: string, make: () => Promise<Buffer>): Promise<Buffer> => {
    const same = awaited.get(sessionId);
    if (same) return same;
    if (awaited.size >= MAX_WAITING) {
      const sentence = "The evidence of many sessions is being put together already.";
      const hint = "Ask again in a while.";
      throw new AppError("too-many", "too-many-evidence", sentence, { hint, retryAfterSec: 10 });
    }
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    awaited.set(sessionId, promise);
    void inTurn(async () => {
      const before = usedMs();
      await make().then(resolve, reject);
      awaited.delete(sessionId);
      await rest(Math.min((usedMs() - before) * REST, MAX_REST_MS));
    });
    return promise;
  };
};
