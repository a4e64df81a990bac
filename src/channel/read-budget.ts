/** Keeps a guest that floods its channel from taking the host's processor: what is over the budget stays unread. */
import type { Socket } from "node:net";

export interface ReadBudget {
  /** Counts bytes that were read, or work worth as many. */
  charge(bytes: number): void;
  /** Stops reading until the window ends when the budget is spent; the guest's writes block meanwhile. */
  pauseIfSpent(socket: Socket): void;
  stop(): void;
}

const WINDOW_MS = 1000;

/** Far above what honest answers need, and about a twentieth of a processor when used up by garbage. */
const BYTES_PER_WINDOW = 16 * 1024 * 1024;

export const createReadBudget = (): ReadBudget => {
  let spent = 0;
  let windowEndsAt = 0;
  let resumeTimer: NodeJS.Timeout | undefined;
  return {
    charge: (bytes) => {
      const now = performance.now();
      if (now >= windowEndsAt) {
        windowEndsAt = now + WINDOW_MS;
        spent = 0;
      }
      spent += bytes;
    },
    pauseIfSpent: (socket) => {
      if (spent < BYTES_PER_WINDOW) return;
      socket.pause();
      clearTimeout(resumeTimer);
      resumeTimer = setTimeout(() => socket.resume(), Math.max(0, windowEndsAt - performance.now()));
    },
    stop: () => clearTimeout(resumeTimer),
  };
};
