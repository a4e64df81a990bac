import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import type { VmPaths } from "../../lib/paths.ts";
import { runFolder } from "../folder.ts";

/** `channel`: the guest's virtio-serial port, as a plain stream. `control`: QMP. */
export const socketsOf = (paths: VmPaths): { channel: string; control: string } => ({
  channel: join(runFolder(paths), "channel.sock"),
  control: join(runFolder(paths), "qmp.sock"),
});

/** Linux' limit for the path of a socket, without the terminating zero. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Throws AppError `path-too-long`. */
export const refuseLongPaths = (paths: VmPaths): void => {
  const tooLong = Object.values(socketsOf(paths)).find((path) => Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES);
  if (!tooLong) return;
  throw new AppError("invalid", "path-too-long", `The path ${tooLong} is too long for a socket.`, {
    hint: `Linux allows ${MAX_SOCKET_PATH_BYTES} bytes: choose a data directory with a shorter path (dataDir).`,
  });
};
