/** The network of guests on a Linux host, with `ip`, `bridge`, `nft` and `dnsmasq`, in the namespace of this process. */
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { createMutex } from "../lib/mutex.ts";
import { ensureBridge, ownerOf, removeBridge } from "./bridge.ts";
import { admitGuest, applyFirewall, expelGuest, isAdmitted, removeFirewall } from "./firewall.ts";
import { BLOCKED_RANGES } from "./firewall-rules.ts";
import { findLink } from "./ip.ts";
import { overlaps, parseRange } from "./ipv4.ts";
import { isPinned, pinNeighbour, unpinNeighbour } from "./neighbour.ts";
import type { GuestNic } from "./guest-nic.ts";
import type { Network } from "./network.ts";
import { ensureResolver, stopResolver } from "./resolver.ts";
import { setSysctl } from "./sysctl.ts";
import { ensureTap, joinBridge, listTaps, removeTap } from "./tap.ts";
import { viewNic } from "./view.ts";

export interface LinuxNetworkOptions {
  bridge: string;
  /** The host's address on the bridge: the guests' gateway and name server. */
  gateway: string;
  prefixLength: number;
  /** Name of the nftables table; one per controller on this host, like the bridge. */
  table: string;
  /** Private ranges that guests may reach, `a.b.c.d/p`. */
  allow: string[];
  /** Users that VMMs run as, first and last. */
  vmmUids: [number, number];
  resolver: { directory: string; upstream: string[] };
  logger: Logger;
}

const overlap = (a: string, b: string): boolean => overlaps(parseRange(a), parseRange(b));

/**
 * One change at a time. Guests attached by this process are remembered, so that `ensure` can put them back on a bridge or
 * into a table that somebody removed; a TAP that is gone took the VMM's connection with it and only `attach` makes one.
 */
export const createLinuxNetwork = (options: LinuxNetworkOptions): Network => {
  const { bridge, gateway, prefixLength, table } = options;
  const owner = ownerOf(options.resolver.directory);
  const exclusive = createMutex();
  const attached = new Map<string, GuestNic>();

  const rejoin = async (nic: GuestNic): Promise<void> => {
    await pinNeighbour(nic, bridge);
    if (await findLink(nic.tap)) await joinBridge(nic, bridge);
  };

  return {
    bridge,
    gateway,
    prefixLength,

    ensure: () =>
      exclusive(async () => {
        await ensureBridge({ ...options, owner });
        // Before forwarding is switched on: nothing is ever forwarded without the rules.
        await applyFirewall({ ...options, controllerUid: process.getuid?.() ?? 0 }, [...attached.values()]);
        await setSysctl("net/ipv4/ip_forward", "1");
        for (const nic of attached.values()) await rejoin(nic);
        await ensureResolver({
          ...options.resolver,
          address: gateway,
          bogus: BLOCKED_RANGES.filter((range) => !options.allow.some((allowed) => overlap(range, allowed))),
          logger: options.logger,
        });
      }),

    attach: (nic) =>
      exclusive(async () => {
        // First: what fails below is tried again by the next `ensure`.
        attached.set(nic.tap, nic);
        await ensureTap(nic, owner);
        await pinNeighbour(nic, bridge);
        await admitGuest(table, nic);
        await joinBridge(nic, bridge);
      }),

    detach: (nic) =>
      exclusive(async () => {
        attached.delete(nic.tap);
        await removeTap(nic.tap);
        await expelGuest(table, nic);
        await unpinNeighbour(nic, bridge);
      }),

    presence: (nic) =>
      exclusive(async () => ({
        tap: (await findLink(nic.tap)) !== undefined,
        firewall: await isAdmitted(table, nic),
        neighbour: await isPinned(nic, bridge),
      })),

    // Not exclusive: a change that hangs is what diagnosis may be after.
    view: (nic) => viewNic(nic, { bridge, gateway, table }),

    listTaps: () => exclusive(() => listTaps({ bridge, owner })),

    removeTap: (tap) =>
      exclusive(async () => {
        attached.delete(tap);
        await removeTap(tap);
      }),

    teardown: () =>
      exclusive(async () => {
        const taps = await listTaps({ bridge, owner });
        if (taps.length > 0) {
          throw new AppError("conflict", "guests-left", `The network is in use: ${taps.join(", ")}.`, {
            hint: "Destroy the sessions first: sallyport destroy --all",
          });
        }
        await stopResolver(options.resolver.directory);
        await removeBridge({ ...options, owner });
        await removeFirewall(table);
      }),
  };
};
