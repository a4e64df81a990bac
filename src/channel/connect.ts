/**
 * Unix socket client to the VMM's end of the guest's virtio-serial port. The socket comes and goes (VMM starting,
 * controller restarting); the channel stays open over that and connects again by itself.
 */
import { connect as connectSocket, type Socket } from "node:net";
import { AppError } from "../lib/errors.ts";
import { silentLogger, type Logger } from "../lib/logger.ts";
import { createCalls } from "./calls.ts";
import type { GuestChannel } from "./channel.ts";
import { createLineSplitter } from "./lines.ts";
import { createReadBudget } from "./read-budget.ts";

export interface ChannelOptions {
  socketPath: string;
  logger?: Logger;
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2000;
const GARBAGE_LOG_INTERVAL_MS = 10_000;
/** Bytes of the read budget that a line costs which nobody asked for: about what parsing it takes. */
const GARBAGE_LINE_COST = 4096;

/** Opens the channel at once; calls made before the guest is there wait for it, up to their own deadline. */
export const connectChannel = ({ socketPath, logger = silentLogger() }: ChannelOptions): GuestChannel => {
  const calls = createCalls();
  const budget = createReadBudget();
  let unsent: { id: number; line: string }[] = [];
  let socket: Socket | undefined;
  let retryTimer: NodeJS.Timeout | undefined;
  let retryMs = FIRST_RETRY_MS;
  let isClosed = false;
  let garbageCount = 0;
  let nextGarbageLogAt = 0;

  const connect = (): void => {
    const attempt = connectSocket(socketPath);
    const lines = createLineSplitter({
      onLine: (line) => {
        if (!calls.settle(line)) onGarbage();
      },
      onGarbage,
    });
    socket = attempt;
    // The first byte ends the half line that a connection before this one may have left behind.
    attempt.on("connect", () => attempt.write("\n", sendNext));
    attempt.on("data", (chunk) => {
      retryMs = FIRST_RETRY_MS;
      budget.charge(chunk.length);
      lines.push(chunk);
      budget.pauseIfSpent(attempt);
    });
    // What went wrong makes no difference to what follows: "close" comes after every error.
    attempt.on("error", () => {});
    attempt.on("close", () => {
      if (isClosed) return;
      socket = undefined;
      retryTimer = setTimeout(connect, retryMs);
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
    });
  };

  /** One line at a time, so that a guest that does not read leaves at most one of them in a buffer of ours. */
  const sendNext = (): void => {
    unsent = unsent.filter(({ id }) => calls.isWaiting(id));
    if (!socket?.writable || socket.connecting || socket.writableLength > 0) return;
    const next = unsent.shift();
    if (!next) return;
    socket.write(`${next.line}\n`, (error) => {
      // It went out in part at most, and half a request is none: the next connection sends it again.
      if (error) unsent.unshift(next);
      else sendNext();
    });
  };

  const onGarbage = (): void => {
    garbageCount++;
    budget.charge(GARBAGE_LINE_COST);
    if (performance.now() < nextGarbageLogAt) return;
    nextGarbageLogAt = performance.now() + GARBAGE_LOG_INTERVAL_MS;
    logger.warn({ garbageCount }, "the guest sent lines that answer nothing");
  };

  connect();
  return {
    call: async (method, params, options) => {
      if (isClosed) throw closed();
      const { id, line, answer } = calls.start(method, params, options);
      unsent.push({ id, line });
      sendNext();
      return answer;
    },
    get garbageCount() {
      return garbageCount;
    },
    close: () => {
      isClosed = true;
      clearTimeout(retryTimer);
      budget.stop();
      socket?.destroy();
      calls.rejectAll(closed());
    },
  };
};

const closed = (): AppError =>
  new AppError("unavailable", "channel-closed", "The channel to the guest is closed; no answer can come any more.");
