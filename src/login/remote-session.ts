/** One session as its requester sees it: watched live, given a URL, asked for the sealed callback. */
import type { Client } from "../client/client.ts";
import type { OpenRequest, SessionView, StartResponse } from "../contract/api.ts";
import { caughtRequest, type CallbackAnswer, type CaughtRequest } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { jsonOf } from "../lib/json.ts";
import { poll } from "../lib/wait.ts";
import { keyThumbprint, type Recipient } from "../handover/sealing.ts";

export type RemoteSession = ReturnType<typeof createRemoteSession>;
export type CaughtCallback = Awaited<ReturnType<RemoteSession["caught"]>>;

export interface RemoteSessionOptions {
  client: Client;
  started: StartResponse;
  recipient: Recipient;
  signal: AbortSignal;
  onView: (view: SessionView) => void;
}

/** Time that the controller has to end an overdue session by itself before this side gives up. */
const GRACE_MS = 60_000;

/** For a controller that is started anew: it has the sealed callback from the guest again. */
const AWAY_MS = 120_000;

/** An answer that was lost on its way is asked for again; whatever the controller says in words stays true. */
const untilBack = (error: unknown): undefined => {
  if (error instanceof AppError && error.code === "controller-unreachable") return undefined;
  throw error;
};

export const createRemoteSession = (options: RemoteSessionOptions) => {
  const { client, started, recipient } = options;
  const { sessionId } = started;
  const { until, close } = watch(options);

  /** Waits for the callback that the guest caught, and opens its seal. */
  const caught = async () => {
    await until(({ credential }) => credential === "waiting" || credential === "taken");
    const sealed = await poll(() => client.credentials(sessionId).catch(untilBack), {
      what: "the sealed callback that the controller announced",
      timeoutMs: AWAY_MS,
      intervalMs: 500,
      signal: options.signal,
    });
    const box = await recipient.open(sealed, {
      sessionId,
      provider: started.provider,
      userId: started.userId,
      keyThumbprint: keyThumbprint(recipient.publicKey),
      expiresAt: started.expiresAt,
    });
    return {
      request: parseCaught(box.plaintext),
      /** What the waiting browser in the guest shall show. */
      answer: async (answer: CallbackAnswer) =>
        client.answer(sessionId, await box.sealAnswer(Buffer.from(JSON.stringify(answer)))),
    };
  };

  return {
    until,
    /** Rejects when the session ends, never resolves: the other half of a race. */
    ended: async (): Promise<never> => {
      await until(() => false);
      throw new AppError("internal", "session-ended", "The session ended.");
    },
    open: (request: OpenRequest) => client.open(sessionId, request),
    caught,
    close,
  };
};

/** Reads the events in the background; whoever waits is woken by each of them and by the end of them. */
const watch = ({ client, started, signal, onView }: RemoteSessionOptions) => {
  const stop = new AbortController();
  let latest: SessionView | undefined;
  let failure: { error: unknown } | undefined;
  let news = Promise.withResolvers<void>();
  let overdue: NodeJS.Timeout | undefined;

  const wake = (): void => {
    news.resolve();
    news = Promise.withResolvers();
  };
  const fail = (error: unknown): void => {
    failure ??= { error };
    clearTimeout(overdue);
    stop.abort();
    wake();
  };
  const read = async (): Promise<void> => {
    for await (const view of client.events(started.sessionId, AbortSignal.any([signal, stop.signal]))) {
      latest = view;
      // Both times are the controller's, so that a wrong clock on this machine does not matter.
      const lifeMs = Date.parse(view.expiresAt) - Date.parse(view.createdAt);
      overdue ??= setTimeout(() => fail(overdueError()), lifeMs + GRACE_MS);
      onView(view);
      const end = endOf(view);
      if (end) throw end;
      wake();
    }
  };
  void read().catch(fail);

  return {
    /** Waits for a view; throws the session's verdict when it ends first, or when it outlives its own deadline. */
    until: async (isReached: (view: SessionView) => boolean): Promise<SessionView> => {
      for (;;) {
        if (failure) throw failure.error;
        if (latest && isReached(latest)) return latest;
        await news.promise;
      }
    },
    /** Stops watching. Waits that are still open reject. */
    close: () => fail(new AppError("gone", "session-closed", "The session is no longer watched.")),
  };
};

/** The sentence for a session that is over, or undefined while it lives. */
const endOf = ({ state, verdict, expiresAt, sessionId }: SessionView): AppError | undefined => {
  if (verdict && (state === "failed" || state === "destroyed" || state === "lost")) {
    const { code, sentence, hint, evidence, stage } = verdict;
    return new AppError("unavailable", code, sentence, { hint, context: { evidence, stage } });
  }
  if (state === "failed") {
    return new AppError("unavailable", "session-failed", "The session failed, and the controller does not say why.", {
      hint: `See: sallyport console ${sessionId}`,
    });
  }
  if (state === "lost") {
    return new AppError("unavailable", "session-lost", "The machine that ran the session is gone.", {
      hint: "Start the sign-in again.",
    });
  }
  if (state !== "destroyed") return undefined;
  const sentence = `The session was destroyed before the sign-in was complete: by somebody, or because its time was up (${expiresAt}).`;
  return new AppError("gone", "session-destroyed", sentence, { hint: "Start the sign-in again." });
};

const overdueError = (): AppError =>
  new AppError("timeout", "session-overdue", "The session's time is up, and the controller has not ended it.", {
    hint: "Start the sign-in again; tell the operator, who may run: sallyport reap.",
  });

const parseCaught = (plaintext: Uint8Array): CaughtRequest => {
  const parsed = caughtRequest.safeParse(jsonOf(Buffer.from(plaintext).toString("utf8")));
  if (parsed.success) return parsed.data;
  // The text itself is not quoted: it may hold the code.
  throw new AppError("unprocessable", "callback-garbage", "What the guest sealed is not a browser's request.", {
    hint: "Start the sign-in again; the image may be older or newer than this program.",
  });
};
