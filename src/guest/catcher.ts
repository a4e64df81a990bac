/**
 * The loopback callback: the guest stands where the tool's own listener would be, for one request.
 *
 *     listen ──▶ listening ──request──▶ caught ──answer──▶ (idle)
 *
 * What the browser sent leaves this process sealed; what the browser is told in return comes sealed from the requester. Only who
 * has opened the box can make an answer to it, so an answer says that the box has arrived: it is kept until then, however long
 * controller or requester are away. The browser waits for a bounded time, and is then told to look at the terminal.
 */
import { callbackAnswer, type Sealed } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { sealTo, type SealedBox } from "../handover/sealing.ts";
import { openListener, type WaitingBrowser } from "./catcher-listener.ts";
import type { SessionHolder } from "./session.ts";

export type Catcher = ReturnType<typeof createCatcher>;

export interface CatcherOptions {
  session: SessionHolder;
  /** How long the browser is kept waiting for the tool's answer; default HOLD_MS. */
  holdMs?: number;
}

/** Below the 300 s after which Firefox itself gives up (network.http.response.timeout), with an error page that says nothing. */
const HOLD_MS = 240_000;

interface Catch {
  box: SealedBox;
  browser: WaitingBrowser;
  timer: NodeJS.Timeout;
}

export const createCatcher = ({ session, holdMs = HOLD_MS }: CatcherOptions) => {
  let target: { port: number; path: string } | undefined;
  let stopListening: (() => void) | undefined;
  let caught: Catch | undefined;
  let lastAnswer: string | undefined;
  let wakeCollectors: (() => void)[] = [];

  /** Throws AppError `nobody-to-hand-to`, `already-listening` (another port or path), `port-taken`. */
  const listen = async (port: number, path: string): Promise<Record<string, never>> => {
    const current = session.current;
    const recipientKey = current?.recipientKey;
    if (!current || !recipientKey) {
      throw new AppError("conflict", "nobody-to-hand-to", "This session has no recipient key: nothing may be caught.");
    }
    if (target?.port === port && target.path === path) return {};
    if (target) throw new AppError("conflict", "already-listening", `Port ${target.port} is already listened on.`);
    target = { port, path };
    try {
      stopListening = await openListener({
        port,
        path,
        onCaught: async (plaintext, browser) => {
          const box = await sealTo(recipientKey, current.sealing, plaintext).catch((error: unknown) => {
            finish();
            throw error;
          });
          caught = { box, browser, timer: setTimeout(() => browser.tellToGoBack(), holdMs) };
          wakeCollectors.forEach((wake) => wake());
        },
      });
    } catch (error) {
      target = undefined;
      throw error;
    }
    return {};
  };

  /** The box, at once or as soon as there is one within `waitMs`; the same one until it is answered. */
  const collect = async (waitMs: number): Promise<Sealed | undefined> => {
    if (!caught && waitMs > 0) await nextCatch(waitMs);
    return caught?.box.sealed;
  };

  const nextCatch = async (waitMs: number): Promise<void> =>
    new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        wakeCollectors = wakeCollectors.filter((each) => each !== wake);
        resolve();
      };
      const timer = setTimeout(wake, waitMs);
      wakeCollectors.push(wake);
    });

  /**
   * Ends the catch, whether the browser still waits or not. The answer that ended it may come again: who sent it may not have heard
   * that it arrived. Throws AppError `nothing-caught`, or `answer-refused` (sealed for another box) after which a right one may follow.
   */
  const answer = async (sealedAnswer: string): Promise<Record<string, never>> => {
    if (sealedAnswer === lastAnswer) return {};
    if (!caught) throw new AppError("conflict", "nothing-caught", "No request is waiting for an answer.");
    const { box, browser } = caught;
    const plaintext = await box.openAnswer(sealedAnswer);
    browser.answer(callbackAnswer.parse(JSON.parse(Buffer.from(plaintext).toString("utf8"))));
    lastAnswer = sealedAnswer;
    finish();
    return {};
  };

  const close = (): void => {
    caught?.browser.tellToGoBack();
    finish();
  };

  /** Afterwards everything is as before `listen`. The browser's last response is still on its way out. */
  const finish = (): void => {
    clearTimeout(caught?.timer);
    stopListening?.();
    target = stopListening = caught = undefined;
  };

  return { listen, collect, answer, close };
};
