/** One guest's TAP: made for the VMM's user, isolated on the bridge, pinned to the guest's MAC. */
import { chmod, stat } from "node:fs/promises";
import { TAP_PREFIX } from "../lib/id.ts";
import type { GuestNic } from "./guest-nic.ts";
import { change, findLink, findTap, linkExists, type Link, takeAway } from "./ip.ts";
import { changeIn, namespaceOf, removeNamespace, tapWithin } from "./namespace.ts";

const TUN_DEVICE = "/dev/net/tun";

/**
 * The TAP exists with the right user afterwards; answers whether it is in a namespace of its own, where it is made, down. It stays there if
 * it is: a former controller's VMM may have it open, and stand still until it comes out. One of another user is a leftover and is made
 * anew. `owner`: the controller, kept as the TAP's alias like the bridge's.
 */
export const ensureTap = async ({ tap, uid }: Pick<GuestNic, "tap" | "uid">, owner: string) => {
  const link = (await linkExists(tap)) ? await findLink(tap) : undefined;
  const isLeftover = link !== undefined && (await findTap(tap))?.user !== uid;
  const name = namespaceOf(tap, owner);
  const isWaiting = link === undefined && (await tapWithin(name))?.user === uid;
  const isNew = !isWaiting && (link === undefined || isLeftover);
  if (isNew) await removeNamespace(name);
  await change("ip", [
    ...(isLeftover ? [`link delete dev ${tap}`] : []),
    ...(isNew ? [`netns add ${name}`] : isWaiting || link?.ifalias === owner ? [] : [aliasLine(tap, owner)]),
  ]);
  const made = isNew ? [`tuntap add dev ${tap} mode tap user ${uid}`] : [];
  if (isNew || isWaiting) await changeIn(name, [...made, aliasLine(tap, owner)]);
  await openTunDevice();
  return isNew || isWaiting;
};

const aliasLine = (tap: string, owner: string): string => `link set dev ${tap} alias "${owner}"`;

/** The TAP comes out of its namespace into that of this process; whoever has it open still has. The name stays, to be taken away. */
export const takeTapOut = async (tap: string, owner: string): Promise<void> =>
  changeIn(namespaceOf(tap, owner), [`link set dev ${tap} netns ${process.pid}`]);

/** As `ip` and `bridge` name them. */
const PORT = { isolated: true, locked: true, learning: false, flood: false, mcast_flood: false, bcast_flood: false };

/** For `ip link set dev <tap> type bridge_slave`. */
const PORT_OPTIONS = Object.entries(PORT)
  .map(([name, isOn]) => `${name} ${isOn ? "on" : "off"}`)
  .join(" ");

export const hasPortOptions = ({ linkinfo, inet6_addr_gen_mode: mode }: Link): boolean =>
  Object.entries(PORT).every(([name, isOn]) => linkinfo?.info_slave_data?.[name] === isOn) &&
  // Left out by a kernel without IPv6.
  (mode ?? "none") === "none";

/**
 * Commands of `ip` that put a TAP on the bridge so that its guest can reach the bridge itself and nothing else: frames go to
 * no other guest (`isolated`), come from no MAC that the bridge was not told (`locked`), and no frame for somebody unknown is
 * flooded to it. Isolation alone would still flood unknown unicast (kernel/hypeman#476). Down until all that is said: an
 * open port passes frames between the commands. Off the bridge first: nothing of a former place is left.
 */
export const joinLines = (tap: string, bridge: string): string[] => [
  `link set dev ${tap} down`,
  `link set dev ${tap} nomaster`,
  `link set dev ${tap} addrgenmode none master ${bridge}`,
  `link set dev ${tap} type bridge_slave ${PORT_OPTIONS}`,
  `link set dev ${tap} up`,
];

/** Command of `bridge`, the last one: only now the port takes the guest's frames and gets those for it. */
export const pinLine = ({ tap, mac }: Pick<GuestNic, "tap" | "mac">): string =>
  `fdb replace ${mac} dev ${tap} master static`;

export const removeTap = (tap: string): Promise<void> => takeAway(`link delete dev ${tap}`);

/** TAPs of this controller: with our prefix, and on its bridge or with its alias. Another's may have lost their bridge. */
export const ourTaps = (links: Link[], { bridge, owner }: { bridge: string; owner: string }): string[] => {
  const isBridgeOurs = links.find(({ ifname }) => ifname === bridge)?.ifalias === owner;
  return links
    .filter(({ ifname, linkinfo }) => ifname.startsWith(TAP_PREFIX) && linkinfo?.info_kind === "tun")
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
