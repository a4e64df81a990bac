/**
 * The result of one sign-in on its way: a URL is opened, the guest catches the callback and seals it, the requester fetches the box and
 * answers. The box is in memory and nowhere else on this host; the guest keeps it until it has the answer, so that a controller that was
 * away, and a requester whose line broke, ask again.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { GuestChannel } from "../channel/channel.ts";
import type { Sealed } from "../contract/guest.ts";
import type { CheckedUrl } from "../handover/url-check.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { alreadyOpened, answering, nothingToAnswer, notReady } from "./refusals.ts";
import type { SessionRecord } from "./record.ts";

export type Handover = ReturnType<typeof createHandover>;

export interface HandoverOptions {
  channel: () => GuestChannel | undefined;
  record: SessionRecord;
  onCaught: () => void;
  signal: AbortSignal;
  logger: Logger;
}

export const createHandover = (options: HandoverOptions) => {
  const { channel, record, signal } = options;
  let isOpening = false;
  let isCollecting = false;
  let isAnswering = false;
  let box: Sealed | undefined;

  /** Asks the guest for the box if one is to come: after `open`, and again when the controller was restarted. */
  const collect = (): void => {
    const guest = channel();
    const { openedAt, recipientKey, answeredAt } = record.session;
    if (!guest || isCollecting || openedAt === null || recipientKey === null || answeredAt !== null) return;
    isCollecting = true;
    collectSealed(guest, options).then(
      (caught) => {
        box = caught;
        options.onCaught();
      },
      // Only the end of the session, or of the controller, ends the asking.
      () => {},
    );
  };

  return {
    collect,
    /** The box is here. */
    get isCaught() {
      return box !== undefined;
    },
    /** Sends a checked URL to Firefox, with the loopback catcher listening first. Once per session. Throws 409. */
    open: async ({ url, host, callback }: CheckedUrl): Promise<void> => {
      const guest = channel();
      if (!guest || !["ready", "active"].includes(record.session.state)) throw notReady(record.session);
      if (isOpening || record.session.openedAt !== null) throw alreadyOpened();
      isOpening = true;
      try {
        const call = { timeoutMs: 30_000, signal };
        if (callback) await guest.call("listen", callback, call);
        await guest.call("open", { url }, call);
        await record.change({ openedAt: now(), openedHost: host });
        collect();
      } finally {
        isOpening = false;
      }
    },
    /** The box, as often as it is asked for until it was answered; undefined while it is awaited. */
    take: async (): Promise<Sealed | undefined> => {
      if (box && record.session.sealedTakenAt === null) await record.change({ sealedTakenAt: now() });
      return box;
    },
    /** Passes the tool's sealed reply to the browser that waits in the guest, which forgets the box. Throws 409. */
    answer: async (sealedAnswer: string): Promise<void> => {
      const guest = channel();
      if (!guest || record.session.sealedTakenAt === null) throw nothingToAnswer();
      if (isAnswering) throw answering();
      isAnswering = true;
      try {
        await guest.call("answer", { sealedAnswer }, { timeoutMs: 10_000, signal });
        box = undefined;
        if (record.session.answeredAt === null) await record.change({ answeredAt: now() });
      } finally {
        isAnswering = false;
      }
    },
  };
};

/** How long one question waits in the guest; longer than this, a lost answer would be noticed late. */
const WAIT_MS = 20_000;
/** From an answer without a box to the next question: a guest that does not wait costs little. */
const PAUSE_MS = 250;
const RETRY_MS = 1000;

/** Asks until there is a box, after any failure again. Throws the signal's reason. */
const collectSealed = async (guest: GuestChannel, { signal, logger }: HandoverOptions): Promise<Sealed> => {
  for (;;) {
    try {
      const { caught } = await guest.call("collect", { waitMs: WAIT_MS }, { timeoutMs: WAIT_MS + 10_000, signal });
      if (caught) return caught;
      await sleep(PAUSE_MS, undefined, { signal });
    } catch (error) {
      signal.throwIfAborted();
      logger.warn({ error: messageOf(error) }, "asking the guest for the callback failed, asking again");
      await sleep(RETRY_MS, undefined, { signal });
    }
  }
};

const now = (): string => new Date().toISOString();
