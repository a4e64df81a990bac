/** Commands in the test host, through one of its serial ports (image/serve.sh is the other end). */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { AppError } from "../../src/lib/errors.ts";

export interface HostCommand {
  /** Read by bash, in `/carried`. */
  command: string;
  stdin?: Uint8Array;
  /** Both output streams, as they come. */
  onOutput?: (chunk: Buffer) => void;
  signal?: AbortSignal;
}

/**
 * Runs a command and answers its exit code. A port takes one at a time: a second one waits. An abort ends the command
 * with its process group. Throws AppError `test-host-gone` when the host goes before the command has ended, or the signal's reason.
 */
export const runInHost = async (socketPath: string, options: HostCommand): Promise<number> => {
  const { command, stdin = Buffer.alloc(0), onOutput = () => {}, signal } = options;
  signal?.throwIfAborted();
  const id = randomBytes(8).toString("hex");
  const follow = createFollower(id, onOutput);
  const socket = connect(socketPath);
  const hangUp = (): void => void socket.destroy();
  signal?.addEventListener("abort", hangUp, { once: true });
  try {
    await once(socket, "connect", signal ? { signal } : {});
    // The empty line ends what an earlier caller left: half a line, or a command.
    socket.write(`\nrun ${id} ${stdin.length} ${Buffer.from(command).toString("base64")}\n`);
    socket.write(stdin);
    for await (const chunk of socket) {
      const code = follow(chunk as Buffer);
      if (code !== undefined) return code;
    }
    throw new Error("the port was closed");
  } catch (cause) {
    signal?.throwIfAborted();
    throw new AppError("unavailable", "test-host-gone", "There is no test host, or it ended before the command had.", {
      cause,
    });
  } finally {
    signal?.removeEventListener("abort", hangUp);
    socket.destroy();
  }
};

/** Hands on what lies between the lines `begin ID` and `end ID CODE`, and answers CODE once it is there; before that, undefined. */
export const createFollower = (id: string, onOutput: (chunk: Buffer) => void) => {
  const begin = Buffer.from(`begin ${id}\n`);
  const end = Buffer.from(`\nend ${id} `);
  let hasBegun = false;
  let held: Buffer = Buffer.alloc(0);
  return (chunk: Buffer): number | undefined => {
    held = Buffer.concat([held, chunk]);
    if (!hasBegun) {
      // What comes before is an earlier command's. Either mark may come in two pieces.
      const at = held.indexOf(begin);
      hasBegun = at !== -1;
      held = held.subarray(hasBegun ? at + begin.length : -begin.length);
      if (!hasBegun) return undefined;
    }
    const at = held.indexOf(end);
    const length = at === -1 ? Math.max(held.length - end.length, 0) : at;
    if (length > 0) onOutput(held.subarray(0, length));
    held = held.subarray(length);
    const code = at === -1 ? undefined : /^(\d+)\n/.exec(held.toString("latin1", end.length))?.[1];
    return code === undefined ? undefined : Number(code);
  };
};
