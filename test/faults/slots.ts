export interface Slots {
  /** Waits for a free place, works in it, gives it back. */
  use<T>(work: () => Promise<T>): Promise<T>;
}

/** `count` places, given out in the order of asking. */
export const createSlots = (count: number): Slots => {
  let free = count;
  const waiting: (() => void)[] = [];
  return {
    use: async (work) => {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      try {
        return await work();
      } finally {
        const next = waiting.shift();
        if (next) next();
        else free += 1;
      }
    },
  };
};
