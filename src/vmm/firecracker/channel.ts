/**
 * The guest channel over vsock. The host asks for a port of the guest on the VMM's Unix socket: `CONNECT 1024\n`, answered by
 * `OK <a number>\n` once somebody in the guest accepts; the VMM hangs up where nobody listens. What a guest connects to by itself
 * would be a socket named `<this one>_<port>`: there never is one.
 */
import { AppError } from "../../lib/errors.ts";
import { openSocket, type OpenStream, type StreamReader } from "../../lib/open-stream.ts";
import { withShortPath } from "../../lib/open-stream.ts";

/** More than `OK 4294967295\n`. */
const MAX_ANSWER_BYTES = 32;

/** Until the guest's kernel has answered. */
const HANDSHAKE_MS = 5_000;

/** See `OpenStream`; rejects with AppError `channel-refused` where the guest, or the VMM, does not take the connection. */
export const openVsock =
  (path: string, port: number): OpenStream =>
  (reader, signal) =>
    withShortPath(path, async (shortPath) => {
      const answered = Promise.withResolvers<void>();
      // Of one that is given up before it was answered nobody waits for the answer.
      answered.promise.catch(() => {});
      const socket = await openSocket(shortPath)(afterHandshake(reader, answered), signal);
      const giveUp = (why: string): void => {
        answered.reject(refused(why));
        socket.destroy();
      };
      const timer = setTimeout(() => giveUp("gave no answer"), HANDSHAKE_MS);
      const abort = (): void => void socket.destroy();
      const onClose = (): void => answered.reject(refused("closed the connection: nobody in the guest listens yet"));
      signal.addEventListener("abort", abort, { once: true });
      socket.once("close", onClose);
      // It may have closed on its way here.
      if (socket.destroyed) onClose();
      try {
        signal.throwIfAborted();
        socket.write(`CONNECT ${port}\n`);
        await answered.promise;
        return socket;
      } catch (error) {
        socket.destroy();
        signal.throwIfAborted();
        throw error;
      } finally {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
      }
    });

/** Takes the answer out of what is read; the reader gets all that follows it, also what came in the same breath. */
const afterHandshake = (reader: StreamReader, answered: PromiseWithResolvers<void>): StreamReader => {
  const { buffer } = reader;
  let answer: string | undefined = "";
  const callback = (length: number): boolean => {
    if (answer === undefined) return reader.callback(length);
    const end = buffer.subarray(0, length).indexOf("\n");
    answer += buffer.toString("latin1", 0, end === -1 ? Math.min(length, MAX_ANSWER_BYTES) : end);
    if (end === -1 && answer.length < MAX_ANSWER_BYTES) return true;
    if (end === -1 || !/^OK \d{1,10}$/.test(answer)) {
      answered.reject(refused("answered something else"));
      // Nothing more is read of it.
      return false;
    }
    answer = undefined;
    answered.resolve();
    buffer.copyWithin(0, end + 1, length);
    const rest = length - end - 1;
    return rest === 0 || reader.callback(rest);
  };
  return { buffer, callback };
};

const refused = (why: string): AppError =>
  new AppError("unavailable", "channel-refused", `Firecracker's channel to the guest was not opened: it ${why}.`);
