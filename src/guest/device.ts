/** Which way to the host this machine has: its VMM decides. */
import { listenForHost } from "./channel-socket.ts";
import { virtioDevices } from "./kernel-facts.ts";
import type { Device, DeviceListener } from "./port.ts";
import { openVirtioPort } from "./virtio-port.ts";

export interface DeviceOptions {
  /** "/" but in tests. */
  root: string;
  portPath: string;
  socketPath: string;
  log: (message: string) => void;
}

/** Where sallyport-channel.service takes the host's connections to. */
export const CHANNEL_SOCKET = "/run/sallyport/channel.sock";

/** The number that the standard gives to socket devices on the virtio bus. */
const VSOCK = 19;

/** A socket where there is vsock, else the port; rejects while what there should be is not there. */
export const openDevice = async (options: DeviceOptions, listener: DeviceListener): Promise<Device> => {
  const { root, portPath, socketPath, log } = options;
  const vsock = (await virtioDevices({ root })).find(({ type }) => type === VSOCK);
  if (!vsock) return openVirtioPort(portPath, { ...listener, log });
  // Said by the agent, because without it nothing else starts that could.
  if (vsock.driver === "") throw new Error(`the vsock device ${vsock.name} has no driver`);
  return listenForHost(socketPath, listener);
};
