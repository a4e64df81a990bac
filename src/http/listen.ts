/** Where the API is heard: on a socket that is always there, and on TCP for viewers and other machines. */
import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname } from "node:path";
import type { Config } from "../config/config.ts";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { requireGuardedFolder } from "../lib/guarded-path.ts";
import type { App } from "./context.ts";

/**
 * Listens until `app` is closed, and resolves to the addresses in words. The socket's folder is made if only it is missing.
 * Throws AppError `socket-folder` (not root's alone), `address-taken`.
 */
export const listen = async (app: App, { listen: where, socket, tls }: Config): Promise<string> => {
  prepareFolder(dirname(socket));
  await removeStale(socket);
  if (where.kind === "unix") {
    await app.listen({ path: socket });
  } else {
    await listenOnTcp(app, where);
    await listenBeside(app, socket, tls ? "secureConnection" : "connection");
  }
  // Whoever has a key may use it; who may replace it, the folder says.
  chmodSync(socket, 0o666);
  return where.kind === "unix" ? socket : `${socket} and ${where.host}:${where.port}`;
};

const prepareFolder = (folder: string): void => {
  try {
    if (!existsSync(folder)) {
      mkdirSync(folder);
      // Not left to the umask: other users pass through.
      chmodSync(folder, 0o755);
    }
    requireGuardedFolder(folder);
  } catch (cause) {
    throw new AppError("invalid", "socket-folder", `The API's socket cannot be in ${folder}: ${messageOf(cause)}`, {
      hint: "Give it a folder that only root can change, e.g. listen: unix:/run/sallyport/other.sock.",
      cause,
    });
  }
};

/** A socket's file outlives its process, and refuses the next one. */
const removeStale = async (path: string): Promise<void> => {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket() || (await isAnswered(path))) {
    const what = found.isSocket() ? "Another program listens on" : "Something that is no socket is at";
    throw new AppError("conflict", "address-taken", `${what} ${path} already.`, {
      hint: "Is it another controller? If not, give this one another address: listen and publicUrl in the configuration.",
    });
  }
  rmSync(path, { force: true });
};

const isAnswered = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = connect(path);
    const end = (isThere: boolean): void => {
      probe.destroy();
      resolve(isThere);
    };
    probe.once("connect", () => end(true)).once("error", (error) => end(errnoOf(error) !== "ECONNREFUSED"));
  });

const listenOnTcp = async (app: App, { host, port }: { host: string; port: number }): Promise<void> => {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    if (errnoOf(cause) !== "EADDRINUSE") throw cause;
    throw new AppError("conflict", "address-taken", `Another program listens on ${host}:${port} already.`, {
      hint: `ss -ltnp "sport = :${port}" says which. End it, or give this controller another address: listen and publicUrl in the configuration. A port below 1024 can be taken by root alone.`,
      cause,
    });
  }
};

/** Hands what comes over the socket to the server as if it had accepted it itself, without TLS whatever TCP has. */
const listenBeside = async (app: App, path: string, accepted: string): Promise<void> => {
  const beside = createServer((socket) => {
    if (app.server.listening) app.server.emit(accepted, socket);
    else socket.destroy();
  });
  app.server.once("close", () => beside.close());
  await new Promise<void>((resolve, reject) => {
    beside.once("error", reject).listen(path, resolve);
  });
};
