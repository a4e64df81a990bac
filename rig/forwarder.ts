import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { AppError, errnoOf } from "../src/lib/errors.ts";

/**
 * Lets a browser outside the world reach the controller inside: a network namespace has its own 127.0.0.1, but a unix
 * socket's path leads into every one of them. Returns what closes it. Throws AppError `port-taken`.
 */
export const forwardPort = async (port: number, socketPath: string): Promise<() => Promise<void>> => {
  const open = new Set<Socket>();
  const server = createServer((outer) => {
    const inner = connect(socketPath);
    for (const [from, to] of [
      [outer, inner],
      [inner, outer],
    ] as const) {
      open.add(from);
      from.pipe(to);
      // Whichever end breaks, the other one learns it by being closed.
      from.on("error", () => to.destroy());
      from.on("close", () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (cause) {
    if (errnoOf(cause) !== "EADDRINUSE") throw cause;
    throw new AppError("conflict", "port-taken", `Port ${port} of this machine is taken by another program.`, {
      hint: `Give another one: npm run demo -- --port ${port + 1}`,
      cause,
    });
  }
  return async () => {
    for (const socket of open) socket.destroy();
    server.close();
    await once(server, "close");
  };
};
