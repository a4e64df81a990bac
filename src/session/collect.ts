import { setTimeout as sleep } from "node:timers/promises";
import type { GuestChannel } from "../channel/channel.ts";
import type { Sealed } from "../contract/guest.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import type { Session } from "./session.ts";

/** How long one question waits in the guest; longer than this, a lost answer would be noticed late. */
const WAIT_MS = 20_000;
const IDLE_MS = 250;

/**
 * Asks the guest for the sealed callback while one is awaited: a URL was opened, there is somebody to seal to, and no box
 * has come yet. Asked again after any failure and after a restart; the guest keeps the box until it is destroyed.
 * Never resolves: the session ends by other means. Throws the signal's reason.
 */
export const collectSealed = async (options: {
  channel: GuestChannel;
  signal: AbortSignal;
  logger: Logger;
  session: () => Session;
  onSealed: (sealed: Sealed) => Promise<void>;
}): Promise<never> => {
  const { channel, signal, logger } = options;
  for (;;) {
    if (!isAwaited(options.session())) {
      await sleep(IDLE_MS, undefined, { signal });
      continue;
    }
    try {
      const { caught } = await channel.call("collect", { waitMs: WAIT_MS }, { timeoutMs: WAIT_MS + 10_000, signal });
      if (caught) await options.onSealed(caught);
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ error: messageOf(error) }, "asking the guest for the callback failed, asking again");
      await sleep(1000, undefined, { signal });
    }
  }
};

const isAwaited = (session: Session): boolean =>
  session.openedAt !== null &&
  session.recipientKey !== null &&
  session.sealed === null &&
  session.sealedTakenAt === null;
