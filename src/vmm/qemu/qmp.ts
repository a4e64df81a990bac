/** Client of QEMU's control socket (QMP): JSON lines, a greeting, then one answer per command, events in between. */
import { createConnection, type Socket } from "node:net";
import { z } from "zod";
import { AppError } from "../../lib/errors.ts";

/** QEMU's longest answer here is a few hundred bytes; what is longer is not QEMU. */
const MAX_LINE_BYTES = 1024 * 1024;

const greeting = z.object({ QMP: z.object({ version: z.object({ qemu: z.object({}) }) }) });
const answer = z.object({
  id: z.int(),
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
});

export type Qmp = Awaited<ReturnType<typeof connectQmp>>;

/**
 * Connects and negotiates. QEMU serves one client at a time and lets others wait without a word, hence `timeoutMs` for
 * the whole. Rejects with a system error when nobody listens, AppError `qmp-timeout` or `qmp-closed`.
 */
export const connectQmp = async (path: string, timeoutMs: number) => {
  const waiting = new Map<number | "greeting", Waiting>();
  let lastId = 0;
  const socket = createConnection(path);

  const expect = (key: number | "greeting", what: string, deadlineMs: number): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(key);
        reject(new AppError("timeout", "qmp-timeout", `QEMU gave no ${what} within ${deadlineMs / 1000} s.`));
      }, deadlineMs);
      waiting.set(key, { resolve, reject, timer });
    });

  const settle = (key: number | "greeting", how: (waiter: Waiting) => void): void => {
    const waiter = waiting.get(key);
    waiting.delete(key);
    clearTimeout(waiter?.timer);
    if (waiter) how(waiter);
  };

  const onMessage = (message: unknown): void => {
    if (greeting.safeParse(message).success) return settle("greeting", ({ resolve }) => resolve(undefined));
    const parsed = answer.safeParse(message);
    // Anything else is an event: the state is asked for when it is needed.
    if (!parsed.success) return;
    const { id, error, return: value } = parsed.data;
    settle(id, ({ resolve, reject }) =>
      error ? reject(new AppError("internal", "qmp-refused", `QEMU refused: ${error.desc}`)) : resolve(value),
    );
  };

  const onEnd = (reason: unknown): void => {
    for (const key of waiting.keys()) settle(key, ({ reject }) => reject(reason));
  };

  const greeted = expect("greeting", "greeting", timeoutMs);
  readMessages(socket, onMessage, onEnd);

  /** Throws AppError `qmp-refused` (QEMU said no), `qmp-timeout`, `qmp-closed`. */
  const execute = (command: string, deadlineMs: number, args?: Record<string, unknown>): Promise<unknown> => {
    if (socket.destroyed) return Promise.reject(closed());
    const id = (lastId += 1);
    const result = expect(id, `answer to ${command}`, deadlineMs);
    socket.write(`${JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}), id })}\n`);
    return result;
  };

  try {
    await greeted;
    await execute("qmp_capabilities", timeoutMs);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return { execute, close: () => socket.destroy() };
};

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (reason: unknown) => void;
  timer: NodeJS.Timeout;
}

const closed = (cause?: unknown): AppError =>
  new AppError("unavailable", "qmp-closed", "QEMU's control socket is closed.", { cause });

/** Calls `onMessage` for each line, then `onEnd` once. Garbage or an endless line ends the connection. */
const readMessages = (
  socket: Socket,
  onMessage: (message: unknown) => void,
  onEnd: (reason: unknown) => void,
): void => {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    try {
      if (rest.length > MAX_LINE_BYTES) throw new Error("line too long");
      for (const line of lines) onMessage(JSON.parse(line));
    } catch (cause) {
      socket.destroy();
      onEnd(closed(cause));
    }
  });
  socket.on("error", onEnd);
  socket.on("close", () => onEnd(closed()));
};
