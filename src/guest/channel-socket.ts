/**
 * A Unix socket as the way to the host, for a VMM that has vsock, which Node can't open: sallyport-channel.socket takes the host's
 * connections there, and systemd-socket-proxyd makes one here for each. Nobody but root gets to it.
 */
import { once } from "node:events";
import { chmod, mkdir, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import type { Device, DeviceListener } from "./port.ts";

/**
 * One host at a time, and the newest is it: the one before is a controller that was restarted, or one before the guest was restored. What
 * a host did not get whole, the next one gets whole. Rejects when the path cannot be listened at.
 */
export const listenForHost = async (path: string, { onBytes, onBreak }: DeviceListener): Promise<Device> => {
  let host: Socket | undefined;
  const closing = new AbortController();
  const server = createServer((socket) => {
    host?.destroy();
    host = socket;
    onBreak();
    // Whatever went wrong, the host will come again.
    socket.on("data", onBytes).on("error", () => {});
  });

  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(path, { force: true });
  server.listen(path);
  await once(server, "listening");
  await chmod(path, 0o600);

  const write = async (line: Buffer): Promise<void> => {
    while (!closing.signal.aborted) {
      // Rejects when the device is closed, which is its end.
      if (!host?.writable) await once(server, "connection", { signal: closing.signal }).catch(() => {});
      else if (await isSent(host, line)) return;
    }
  };

  return {
    write,
    close: async () => {
      closing.abort();
      host?.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};

/** Node calls back without an error also for what a destroyed socket had not sent. */
const isSent = (socket: Socket, line: Buffer): Promise<boolean> =>
  new Promise((resolve) => {
    socket.write(line, (error) => resolve(!error && !socket.destroyed));
  });
