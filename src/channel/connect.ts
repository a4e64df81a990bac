/**
 * Our end of the stream that a VMM has to its guest. The stream comes and goes (VMM starting, controller restarting); the
 * channel stays open over that and connects again by itself.
 */
import type { Socket } from "node:net";
import { createCostBudget, type CostBudget } from "../lib/cost-budget.ts";
import { AppError } from "../lib/errors.ts";
import { silentLogger, type Logger } from "../lib/logger.ts";
import type { OpenStream } from "../lib/open-stream.ts";
import { createCalls } from "./calls.ts";
import type { GuestChannel } from "./channel.ts";
import { createLineSplitter, type LineSplitter } from "./lines.ts";

export interface ChannelOptions {
  /** How the stream is opened, again and again: each VMM has its own way. */
  open: OpenStream;
  logger?: Logger;
  budget?: CostBudget;
}

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2000;
const GARBAGE_LOG_INTERVAL_MS = 10_000;
const READ_BYTES = 64 * 1024;

/**
 * Opens the channel at once; calls made before the guest is there wait for it, up to their own deadline. A guest that costs more than
 * its budget is not read for a while, so that its writes block; where that does not help the channel is closed for good.
 */
export const connectChannel = (options: ChannelOptions): GuestChannel => {
  const { open, logger = silentLogger(), budget = createCostBudget() } = options;
  const calls = createCalls();
  let unsent: { id: number; line: string }[] = [];
  let socket: Socket | undefined;
  let timer: NodeJS.Timeout | undefined;
  let retryMs = FIRST_RETRY_MS;
  let ending: AppError | undefined;
  let bytes = 0;
  let garbageLines = 0;
  let garbageTold = 0;
  let nextGarbageLogAt = 0;
  const buffer = Buffer.alloc(READ_BYTES);
  const stopping = new AbortController();

  const connect = (): void => {
    const onGarbage = (): void => void garbageLines++;
    const lines = createLineSplitter({ onLine: (line) => calls.settle(line) || onGarbage(), onGarbage });
    // One buffer for all that is read: a flood is not to be the garbage collector's either.
    const reader = { buffer, callback: (length: number): boolean => onBytes(lines, length) };
    // What went wrong makes no difference to what follows.
    open(reader, stopping.signal).then((opened) => {
      // It may have closed on its way here: of that nobody is told a second time.
      if (opened.destroyed) return connectAgain();
      socket = opened;
      opened.on("close", connectAgain);
      // The first byte ends the half line that a connection before this one may have left behind.
      opened.write("\n", sendNext);
    }, connectAgain);
  };

  const connectAgain = (): void => {
    if (ending) return;
    socket = undefined;
    clearTimeout(timer);
    timer = setTimeout(connect, retryMs);
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  };

  /** False when no more is to be read for now. */
  const onBytes = (lines: LineSplitter, length: number): boolean => {
    retryMs = FIRST_RETRY_MS;
    bytes += length;
    budget.spend(() => lines.push(buffer.subarray(0, length)));
    tellOfGarbage();
    const { isHopeless, waitMs } = budget;
    if (isHopeless) end(flooding());
    else if (waitMs > 0) timer = setTimeout(() => socket?.resume(), waitMs);
    return !isHopeless && waitMs === 0;
  };

  /** One line at a time, so that a guest that does not read leaves at most one of them in a buffer of ours. */
  const sendNext = (): void => {
    unsent = unsent.filter(({ id }) => calls.isWaiting(id));
    if (!socket?.writable || socket.writableLength > 0) return;
    const next = unsent.shift();
    if (!next) return;
    socket.write(`${next.line}\n`, (error) => {
      // It went out in part at most, and half a request is none: the next connection sends it again.
      if (error) unsent.unshift(next);
      else sendNext();
    });
  };

  const tellOfGarbage = (): void => {
    if (garbageLines === garbageTold || performance.now() < nextGarbageLogAt) return;
    garbageTold = garbageLines;
    nextGarbageLogAt = performance.now() + GARBAGE_LOG_INTERVAL_MS;
    logger.warn({ garbageLines }, "the guest sent lines that answer nothing");
  };

  const end = (reason: AppError): void => {
    ending ??= reason;
    clearTimeout(timer);
    stopping.abort();
    socket?.destroy();
    calls.rejectAll(ending);
  };

  connect();
  return {
    call: async (method, params, how) => {
      if (ending) throw ending;
      const { id, line, answer } = calls.start(method, params, how);
      unsent.push({ id, line });
      sendNext();
      return answer;
    },
    get traffic() {
      return { bytes, garbageLines, spentMs: Math.round(budget.spentMs), isFlooding: ending?.code === FLOODS };
    },
    close: () => end(closed()),
  };
};

const FLOODS = "guest-floods";

const closed = (): AppError =>
  new AppError("unavailable", "channel-closed", "The channel to the guest is closed; no answer can come any more.");

const flooding = (): AppError =>
  new AppError(
    "unavailable",
    FLOODS,
    "The guest sent so much over its channel that reading it took this host's time from others; the channel was closed.",
    { hint: "Nothing of Sallyport's does so: the guest may have been taken over. Start a new sign-in." },
  );
