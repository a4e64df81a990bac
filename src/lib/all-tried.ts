import { AppError, messageOf } from "./errors.ts";

/**
 * One step after the other, each also when one before it failed. Throws what failed: one error as it is, several as the first one's
 * AppError with the sentences of all.
 */
export const allTried = async (...steps: (() => Promise<unknown>)[]): Promise<void> => {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  const [first] = failures;
  if (failures.length === 0) return;
  if (failures.length === 1) throw first;
  const { kind, code, hint } = first instanceof AppError ? first : new AppError("internal", "several-failed", "");
  throw new AppError(kind, code, failures.map(messageOf).join(" "), {
    ...(hint === undefined ? {} : { hint }),
    cause: new AggregateError(failures),
  });
};

/** As `allTried`, all begun at once; ends when the last has. */
export const allTriedAtOnce = async (...steps: (() => Promise<unknown>)[]): Promise<void> => {
  const ends = await Promise.allSettled(steps.map((step) => step()));
  await allTried(
    ...ends.map((end) => async () => (end.status === "rejected" ? Promise.reject(end.reason) : undefined)),
  );
};
