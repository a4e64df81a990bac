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

/** Work that any number ask for at once: who asks while it runs gets the next run, which they share. */
export const createSharedRun = (work: () => Promise<void>): (() => Promise<void>) => {
  const exclusive = createMutex();
  let next: Promise<void> | undefined;
  return () =>
    (next ??= exclusive(() => {
      next = undefined;
      return work();
    }));
};

/** The next in line waits for the end, not for success: the caller gets the failure. */
const ended = async (work: Promise<unknown>): Promise<void> => {
  await work.catch(() => {});
};
