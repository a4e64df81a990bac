/** Who asks while another's question is open gets the same answer, whatever they say; afterwards it is asked anew. */
export const together = <Given extends unknown[], Answer>(ask: (...given: Given) => Promise<Answer>) => {
  let answer: Promise<Answer> | undefined;
  return (...given: Given): Promise<Answer> => (answer ??= ask(...given).finally(() => (answer = undefined)));
};

/** Asks at the first call and answers the same to all that follow, whatever they say; what failed is asked anew by the next. */
export const once = <Given extends unknown[], Answer>(ask: (...given: Given) => Promise<Answer>) => {
  let answer: Promise<Answer> | undefined;
  return (...given: Given): Promise<Answer> =>
    (answer ??= ask(...given).catch((error: unknown) => {
      answer = undefined;
      throw error;
    }));
};
