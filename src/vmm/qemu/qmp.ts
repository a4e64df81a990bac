/** QEMU's control socket (QMP): JSON lines, a greeting, then one answer per command, events in between. */
import { createConnection, type Socket } from "node:net";
import { z } from "zod";
import { AppError } from "../../lib/errors.ts";
import { jsonOf } from "../../lib/json.ts";
import { withShortPath } from "../../lib/open-stream.ts";
import { MOST_BYTES, refused, saysTooMuch } from "../conversation.ts";

/** Of a whole conversation; QEMU says three, and an event now and then. Each costs more than its bytes do. */
const MOST_LINES = 100;

const greeting = z.object({ QMP: z.object({ version: z.object({ qemu: z.object({}) }) }) });
const answer = z.object({
  id: z.int(),
  return: z.unknown().optional(),
  error: z.object({ class: z.string(), desc: z.string() }).optional(),
});

/** One command after the other. Answers what QEMU returned; throws AppError `vmm-refused` with its own words. */
export type Execute = (command: string, args?: Readonly<Record<string, unknown>>) => Promise<unknown>;

/**
 * Connects, negotiates and lets `use` speak. QEMU serves one client at a time and lets others wait without a word: whatever is waited
 * for ends with the signal, with its reason. Throws the system's error where nobody listens; AppError `qmp-closed` when QEMU hangs up,
 * `vmm-floods` when it does not stop talking. The connection is closed then, and after `use`.
 */
export const withQmp = <T>(path: string, signal: AbortSignal, use: (execute: Execute) => Promise<T>): Promise<T> =>
  withShortPath(path, async (short) => {
    signal.throwIfAborted();
    const socket = createConnection(short);
    const end = (): void => void socket.destroy(signal.reason as Error);
    signal.addEventListener("abort", end, { once: true });
    const said = messagesOf(socket);
    const hear = async <M>(shape: z.ZodType<M>, isIt: (message: M) => boolean): Promise<M> => {
      for (;;) {
        const { value, done } = await said.next();
        if (done) throw closed();
        const message = shape.safeParse(value).data;
        // Anything else is an event: the state is asked for when it is needed.
        if (message !== undefined && isIt(message)) return message;
      }
    };
    let lastId = 0;
    const execute: Execute = async (command, args) => {
      const id = (lastId += 1);
      socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
      const { error, return: value } = await hear(answer, (message) => message.id === id);
      if (error) throw refused("QEMU", command, error.desc);
      return value;
    };
    try {
      await hear(greeting, () => true);
      await execute("qmp_capabilities");
      return await use(execute);
    } finally {
      signal.removeEventListener("abort", end);
      socket.destroy();
    }
  });

const closed = (): AppError => new AppError("unavailable", "qmp-closed", "QEMU closed its control socket.");

/** What is said while somebody listens; nothing is read ahead of it. What is no JSON is answered as undefined. */
const messagesOf = async function* (socket: Socket): AsyncGenerator<unknown> {
  let rest = "";
  let lines = 0;
  for await (const chunk of socket.setEncoding("utf8") as AsyncIterable<string>) {
    if (socket.bytesRead > MOST_BYTES) throw saysTooMuch("QEMU");
    rest += chunk;
    // Not looked through again for each byte of a line.
    if (!chunk.includes("\n")) continue;
    const whole = rest.split("\n");
    rest = whole.pop() ?? "";
    for (const line of whole) {
      if ((lines += 1) > MOST_LINES) throw saysTooMuch("QEMU");
      yield jsonOf(line);
    }
  }
};
