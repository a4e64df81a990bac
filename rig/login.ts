import { z } from "zod";
import { receipt } from "../src/contract/session.ts";
import { AppError } from "../src/lib/errors.ts";
import type { Deployment } from "./deployment.ts";

const started = z.object({
  event: z.literal("started"),
  sessionId: z.string(),
  novncURL: z.string(),
  pairingCode: z.string(),
});
export type Started = z.infer<typeof started>;

const success = z.object({
  ok: z.literal(true),
  account: z.object({ issuer: z.string(), sub: z.string(), name: z.string() }).nullable(),
  credential: z.string().nullable(),
  /** Milliseconds since the login began. */
  timings: z.record(z.string(), z.number()),
  receipt,
});
const failure = z.object({
  ok: z.literal(false),
  verdict: z.object({ code: z.string(), sentence: z.string(), hint: z.string().default("") }),
});
const outcome = z.discriminatedUnion("ok", [success, failure]);
export type LoginSuccess = z.infer<typeof success>;

export interface LoginOptions {
  provider: string;
  /** Further arguments of `sallyport login`. */
  args?: string[];
  /** Name of its log. */
  log: string;
  /** Plays or tells the person; a failure of it ends the login. */
  onStarted: (started: Started, signal: AbortSignal) => Promise<void>;
  /** Every further event, as one line of JSON. */
  onEvent?: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Runs `sallyport login --json` in the world to its end, with a person beside it. Throws the person's failure, the signal's
 * reason, or AppError `unprocessable` with code, sentence and hint of the login's own verdict.
 */
export const runLogin = async (deployment: Deployment, options: LoginOptions): Promise<LoginSuccess> => {
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  let last = "";
  let person: Promise<void> | undefined;
  let personFailure: { error: unknown } | undefined;
  const args = ["--json", "login", options.provider, ...(options.args ?? [])];

  const child = await deployment.sallyport(options.log, args, (line) => {
    last = line;
    options.onEvent?.(line);
    const event = started.safeParse(tryJson(line));
    if (!event.success || person) return;
    person = options.onStarted(event.data, signal).catch((error: unknown) => {
      if (over.signal.aborted) return;
      personFailure = { error };
      void child.stop(LOGIN_GRACE_MS);
    });
  });
  const stop = (): void => void child.stop(LOGIN_GRACE_MS);
  options.signal.addEventListener("abort", stop, { once: true });
  if (options.signal.aborted) stop();
  await child.ended;
  options.signal.removeEventListener("abort", stop);
  // The login's end is the end of the person's work, too: whatever they still wait for will not come.
  over.abort();
  await person;

  options.signal.throwIfAborted();
  const result = outcome.safeParse(tryJson(last));
  if (result.success && result.data.ok) return result.data;
  if (personFailure) throw personFailure.error;
  if (!result.success)
    throw new AppError("internal", "login-silent", `sallyport login ended without a verdict: ${last}`);
  if (result.data.ok) return result.data;
  const { code, sentence, hint } = result.data.verdict;
  throw new AppError("unprocessable", code, sentence, { hint });
};

/** It destroys its session first. */
const LOGIN_GRACE_MS = 60_000;

const tryJson = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
};
