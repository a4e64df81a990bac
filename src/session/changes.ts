/** News of sessions for whoever follows them. */
import { EventEmitter } from "node:events";

/**
 * `watch` says at once and after each change that there is something to see, never what: several changes are one while nobody looks, so
 * that a slow reader costs nothing and sees the newest state. Ends on the signal.
 */
export const createChanges = () => {
  const bell = new EventEmitter().setMaxListeners(0);

  return {
    tell: (sessionId: string): void => void bell.emit(sessionId),

    watch: (sessionId: string, signal: AbortSignal): AsyncGenerator<void> => {
      let isNews = true;
      let wake = (): void => {};
      const ring = (): void => {
        isNews = true;
        wake();
      };
      const hangUp = (): void => {
        bell.off(sessionId, ring);
        wake();
      };
      bell.on(sessionId, ring);
      signal.addEventListener("abort", hangUp, { once: true });
      return (async function* () {
        try {
          while (!signal.aborted) {
            if (!isNews) await new Promise<void>((resolve) => (wake = resolve));
            isNews = false;
            if (!signal.aborted) yield;
          }
        } finally {
          hangUp();
          signal.removeEventListener("abort", hangUp);
        }
      })();
    },
  };
};
