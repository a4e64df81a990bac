/** What the guest's browser is told in the course of a sign-in, each thing once. */
import type { GuestChannel } from "../channel/channel.ts";
import type { CheckedUrl } from "../handover/url-check.ts";
import { alreadyOpened, answering, nothingToAnswer, notReady } from "./refusals.ts";
import type { Session } from "./session.ts";

export interface BrowserCalls {
  /** Sends a checked URL to Firefox, with the loopback catcher listening first. Once per session. */
  open(url: CheckedUrl): Promise<void>;
  /** Passes the tool's sealed reply to the browser that waits in the guest. */
  answer(sealedAnswer: string): Promise<void>;
}

export interface BrowserCallsOptions {
  channel: () => GuestChannel | undefined;
  session: () => Session;
  /** Told the host that was opened. */
  onOpened: (host: string) => Promise<void>;
  signal: AbortSignal;
}

export const createBrowserCalls = ({ channel, session, onOpened, signal }: BrowserCallsOptions): BrowserCalls => {
  let isOpening = false;
  let isAnswering = false;
  return {
    open: async ({ url, host, callback }) => {
      const open = channel();
      if (!open || !["ready", "active"].includes(session().state)) throw notReady(session());
      if (isOpening || session().openedAt !== null) throw alreadyOpened();
      isOpening = true;
      try {
        const call = { timeoutMs: 30_000, signal };
        if (callback) await open.call("listen", callback, call);
        await open.call("open", { url }, call);
        await onOpened(host);
      } finally {
        isOpening = false;
      }
    },
    answer: async (sealedAnswer) => {
      const open = channel();
      if (!open || session().sealedTakenAt === null) throw nothingToAnswer();
      if (isAnswering) throw answering();
      isAnswering = true;
      try {
        await open.call("answer", { sealedAnswer }, { timeoutMs: 10_000, signal });
      } finally {
        isAnswering = false;
      }
    },
  };
};
