/** One guest's TAP: made for the VMM's user, isolated on the bridge, pinned to the guest's MAC. */
import { chmod, stat } from "node:fs/promises";
import { z } from "zod";
import { TAP_PREFIX } from "../lib/id.ts";
import type { GuestNic } from "./guest-nic.ts";
import { findLink, ip, ipRemove, tapOwner, tunLinks } from "./ip.ts";
import { runTool } from "./tool.ts";

const TUN_DEVICE = "/dev/net/tun";

/**
 * The TAP exists with the right user afterwards. One of another user is a leftover and is made anew. `owner`: the controller, kept
 * as the TAP's alias like the bridge's.
 */
export const ensureTap = async ({ tap, uid }: GuestNic, owner: string): Promise<void> => {
  if ((await findLink(tap)) && (await tapOwner(tap)) !== uid) await removeTap(tap);
  if (!(await findLink(tap))) await ip("tuntap", "add", "dev", tap, "mode", "tap", "user", String(uid));
  if ((await findLink(tap))?.ifalias !== owner) await ip("link", "set", "dev", tap, "alias", owner);
  await openTunDevice();
};

/**
 * Puts the TAP on the bridge so that its guest can reach the bridge itself and nothing else: frames go to no other
 * guest (`isolated`), come from no other MAC (`locked`), and no frame for somebody unknown is flooded to it. Isolation
 * alone would still flood unknown unicast (kernel/hypeman#476). A port that is all that already is left alone: a running
 * guest would lose packets.
 */
export const joinBridge = async (nic: GuestNic, bridge: string): Promise<void> => {
  if (await isJoined(nic, bridge)) return;
  const { tap, mac } = nic;
  // Down until it is isolated: an open port passes frames between the commands.
  await ip("link", "set", "dev", tap, "down");
  await ip("link", "set", "dev", tap, "addrgenmode", "none", "master", bridge);
  await runTool("bridge", ["link", "set", "dev", tap, ...PORT_OPTIONS]);
  await runTool("bridge", ["fdb", "replace", mac, "dev", tap, "master", "static"]);
  await ip("link", "set", "dev", tap, "up");
};

/** As `ip -d` and `bridge` name them. */
const PORT = { isolated: true, locked: true, learning: false, flood: false, mcast_flood: false, bcast_flood: false };

/** For `bridge link set dev <tap>`. */
export const PORT_OPTIONS = Object.entries(PORT).flatMap(([name, isOn]) => [name, isOn ? "on" : "off"]);

const isJoined = async ({ tap, mac }: GuestNic, bridge: string): Promise<boolean> => {
  const link = await findLink(tap);
  const { info_slave_data: port = {} } = link?.linkinfo ?? {};
  return (
    link?.master === bridge &&
    link.flags.includes("UP") &&
    // Left out by a kernel without IPv6.
    (link.inet6_addr_gen_mode ?? "none") === "none" &&
    Object.entries(PORT).every(([name, isOn]) => port[name] === isOn) &&
    (await forwardingEntries(tap)).some(
      // With a VLAN it is for frames of that VLAN only, and the bridge has none.
      (entry) => entry.mac === mac && entry.master === bridge && entry.state === "static" && entry.vlan === undefined,
    )
  );
};

const forwardingEntry = z.object({
  mac: z.string(),
  master: z.string().optional(),
  state: z.string().optional(),
  vlan: z.int().optional(),
});

const forwardingEntries = async (tap: string): Promise<z.infer<typeof forwardingEntry>[]> => {
  const { stdout } = await runTool("bridge", ["-j", "fdb", "show", "brport", tap]);
  return z.array(forwardingEntry).parse(JSON.parse(stdout.trim() || "[]"));
};

export const removeTap = (tap: string): Promise<void> => ipRemove("link", "delete", "dev", tap);

/** TAPs of this controller: with our prefix, and on its bridge or with its alias. Another's may have lost their bridge. */
export const listTaps = async ({ bridge, owner }: { bridge: string; owner: string }): Promise<string[]> => {
  const isBridgeOurs = (await findLink(bridge))?.ifalias === owner;
  return (await tunLinks())
    .filter(({ ifname }) => ifname.startsWith(TAP_PREFIX))
    .filter(({ ifalias, master }) => ifalias === owner || (ifalias === undefined && isBridgeOurs && master === bridge))
    .map((link) => link.ifname);
};

/**
 * The VMM opens this device as an unprivileged user and may then attach to the TAPs it owns only. udev sets 0666 on
 * every ordinary host; on one without udev the node is for root alone and the VMM could not start.
 */
const openTunDevice = async (): Promise<void> => {
  if (((await stat(TUN_DEVICE)).mode & 0o006) !== 0o006) await chmod(TUN_DEVICE, 0o666);
};
