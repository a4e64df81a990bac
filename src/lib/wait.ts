import { setTimeout as sleep } from "node:timers/promises";
import { AppError } from "./errors.ts";

export interface PollOptions {
  /** What is waited for, as the object of a sentence: "the agent's answer". */
  what: string;
  timeoutMs: number;
  /** Between two questions. */
  intervalMs: number;
  /** Between the first two, and then twice as long each time up to `intervalMs`: of what is often over at once. Default: `intervalMs`. */
  firstMs?: number;
  signal?: AbortSignal;
}

/**
 * Asks until the answer is not undefined. Throws AppError `deadline` when there is none after `timeoutMs`, which the last attempt may
 * outlast; or the signal's reason at once, also in the middle of an attempt.
 */
export const poll = <T>(ask: () => Promise<T | undefined>, options: PollOptions): Promise<T> =>
  options.signal ? orAborted(() => pollToTheEnd(ask, options), options.signal) : pollToTheEnd(ask, options);

const pollToTheEnd = async <T>(ask: () => Promise<T | undefined>, options: PollOptions): Promise<T> => {
  const deadline = performance.now() + options.timeoutMs;
  for (let pauseMs = options.firstMs ?? options.intervalMs; ; pauseMs *= 2) {
    options.signal?.throwIfAborted();
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() >= deadline) {
      throw new AppError("timeout", "deadline", `Waited ${options.timeoutMs / 1000} s in vain for ${options.what}.`);
    }
    await sleep(Math.min(pauseMs, options.intervalMs), undefined, options.signal ? { signal: options.signal } : {});
  }
};

/** Whether this is `poll`'s word that it waited in vain. */
export const isDeadline = (error: unknown): boolean => error instanceof AppError && error.code === "deadline";

/** `work`, or `instead()` where it takes longer than `timeoutMs`: then it is not stopped, only no longer waited for. */
export const orAfter = async <T, U>(work: Promise<T>, timeoutMs: number, instead: () => U): Promise<T | Awaited<U>> => {
  const done = new AbortController();
  try {
    return await Promise.race([work, sleep(timeoutMs, undefined, { signal: done.signal }).then(instead)]);
  } finally {
    done.abort();
  }
};

/** What `work` answers, or the signal's reason as soon as it is aborted: then it is not begun or not stopped, only no longer waited for. */
export const orAborted = async <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> => {
  signal.throwIfAborted();
  const done = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    const listening = { once: true, signal: done.signal };
    signal.addEventListener("abort", () => reject(signal.reason), listening);
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    done.abort();
  }
};

/** Milliseconds until `deadline` (of `performance.now()`), at least 1: to some, 0 means for ever. */
export const msUntil = (deadline: number): number => Math.max(Math.round(deadline - performance.now()), 1);
