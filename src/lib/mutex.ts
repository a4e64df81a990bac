/** Returns a function that runs what it is given one after the other, in the order of the calls. */
export const createMutex = () => {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>): Promise<T> => {
    const result = last.then(work);
    // The next in line waits for the end of this one, not for its success: the caller gets the failure.
    last = result.catch(() => {});
    return result;
  };
};
