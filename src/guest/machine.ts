/** What the machine says about itself: `hello`, and the part of `health` that is not the browser. */
import { readFile } from "node:fs/promises";
import { networkInterfaces, release } from "node:os";
import { join } from "node:path";
import { GUEST_PORTS, GUEST_PROTOCOL } from "../contract/guest.ts";
import { listeningSockets, mibOf, uptimeSec } from "./kernel-facts.ts";

export const AGENT_VERSION = "0.1.0";

export const createMachine = ({ root }: { root: string }) => {
  const proc = async (name: string): Promise<string> => readFile(join(root, "proc", name), "utf8");

  /**
   * The kernel's own list of listening sockets. A connection would take the display's only viewer seat, and the X socket's
   * file outlives a display that crashed.
   */
  const isListening = async (port: number): Promise<boolean> =>
    (await listeningSockets({ root })).some((socket) => socket.port === port);

  return {
    hello: async () => ({
      protocol: GUEST_PROTOCOL,
      agentVersion: AGENT_VERSION,
      bootId: (await proc("sys/kernel/random/boot_id")).trim(),
      kernelRelease: release(),
      uptimeSec: await uptimeSec(root),
    }),
    health: async () => ({
      uptimeSec: await uptimeSec(root),
      address: eth0Address() ?? null,
      isDisplayUp: await isListening(GUEST_PORTS.rfb),
      memAvailableMib: mibOf(await proc("meminfo"), "MemAvailable"),
    }),
  };
};

/** First IPv4 address of eth0 that is not link-local, as `a.b.c.d/p`. */
export const eth0Address = (interfaces = networkInterfaces): string | undefined =>
  interfaces()["eth0"]?.find(({ family, address }) => family === "IPv4" && !address.startsWith("169.254."))?.cidr ??
  undefined;
