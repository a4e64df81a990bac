import { orAfter } from "./wait.ts";

/** Returns a function that runs what it is given one after the other, in the order of the calls. */
export const createMutex = () => {
  const oneByOne = createKeyedMutex();
  return <T>(work: () => Promise<T>): Promise<T> => oneByOne("", work);
};

/** As `createMutex`, for each key by itself. */
export const createKeyedMutex = () => {
  const ends = new Map<string, Promise<unknown>>();
  return <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const result = (ends.get(key) ?? Promise.resolve()).then(work);
    const end = ended(result).then(() => {
      if (ends.get(key) === end) ends.delete(key);
    });
    ends.set(key, end);
    return result;
  };
};

/** `shared` work runs beside other such work, `alone` beside none; in the order of the calls. */
export const createSharedMutex = () => {
  let lastAlone: Promise<unknown> = Promise.resolve();
  const sharing = new Set<Promise<unknown>>();
  return {
    shared: <T>(work: () => Promise<T>): Promise<T> => {
      const result = lastAlone.then(work);
      const end: Promise<unknown> = ended(result).then(() => sharing.delete(end));
      sharing.add(end);
      return result;
    },
    alone: <T>(work: () => Promise<T>): Promise<T> => {
      const result = Promise.all([lastAlone, ...sharing]).then(work);
      lastAlone = ended(result);
      return result;
    },
  };
};

/**
 * Work that is cheaper for many things together: those that come while it runs are the next run's, which begins when that one ends, or after
 * `patienceMs` beside it, so that one which hangs holds nobody up for long. Where a run fails, each of its things is tried by itself.
 */
export const createGathering = <T, R>(work: (things: T[]) => Promise<R>, patienceMs: number) => {
  let next: { things: T[]; done: Promise<R> } | undefined;
  let running: Promise<unknown> = Promise.resolve();
  return async (thing: T): Promise<R> => {
    if (!next) {
      const things: T[] = [];
      const done = orAfter(running, patienceMs, () => {}).then(() => {
        next = undefined;
        return work(things);
      });
      running = ended(done);
      next = { things, done };
    }
    const { things, done } = next;
    things.push(thing);
    return done.catch((error: unknown) => {
      if (things.length < 2) throw error;
      return work([thing]);
    });
  };
};

/** The next in line waits for the end, not for success: the caller gets the failure. */
const ended = async (work: Promise<unknown>): Promise<void> => {
  await work.catch(() => {});
};
