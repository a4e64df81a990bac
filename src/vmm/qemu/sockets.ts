import { join } from "node:path";
import type { VmPaths } from "../../lib/paths.ts";
import { runFolder } from "../folder.ts";

/** `channel`: the guest's virtio-serial port, as a plain stream. `control`: QMP. */
export const SOCKETS = { channel: "channel.sock", control: "qmp.sock" } as const;

/** As the controller sees them. */
export const socketsOf = (paths: VmPaths): Record<keyof typeof SOCKETS, string> => ({
  channel: join(runFolder(paths), SOCKETS.channel),
  control: join(runFolder(paths), SOCKETS.control),
});
