/** The network of guests on a Linux host, with `ip`, `bridge`, `nft` and `dnsmasq`, in the namespace of this process. */
import { allTriedAtOnce } from "../lib/all-tried.ts";
import { AppError } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { createGathering, createKeyedMutex, createSharedMutex } from "../lib/mutex.ts";
import { ensureBridge, ownerOf, removeBridge, whoseBridge } from "./bridge.ts";
import { admitGuests, applyFirewall, expelGuests, isTableOurs, readTable, refreshFirewall } from "./firewall.ts";
import { removeFirewall } from "./firewall.ts";
import { type Admission, BLOCKED_RANGES, type FirewallOptions } from "./firewall-rules.ts";
import { foundThings, refOf } from "./found.ts";
import { apply, applyEach, type Change, joined, joining, mending, pinNeighbour } from "./guest.ts";
import { change, readForwarding, readLinks, takeAway } from "./ip.ts";
import { overlaps, parseRange } from "../lib/ipv4.ts";
import type { GuestNic } from "./guest-nic.ts";
import { resolverUid } from "../lib/user-range.ts";
import type { FoundThing, Network } from "./network.ts";
import { ensureResolver, stopResolver } from "./resolver.ts";
import { namespaceExists, namespaceFile, namespaceOf, ourNamespaces, removeNamespace } from "./namespace.ts";
import { setSysctl } from "./sysctl.ts";
import { ensureTap, ourTaps, removeTap, takeTapOut } from "./tap.ts";
import { isFixed, isPortRight } from "./trouble.ts";
import { neighbourView, tapView, viewNic } from "./view.ts";

/** The user that follows the VMMs' is the resolver's. */
export interface LinuxNetworkOptions extends Omit<FirewallOptions, "controllerUid" | "owner"> {
  resolver: { directory: string; upstream: string[] };
  logger: Logger;
}

/** A guest that this process prepared. A TAP that is gone took the VMM's connection with it, and only `prepare` makes one. */
interface Served {
  nic: GuestNic;
  /** Its TAP is in its namespace still. */
  isWaiting: boolean;
  isJoined: boolean;
}

/** For a look at the host that is under way. */
const HOST_PATIENCE_MS = 1_000;
/** For programs of others that are under way, with which one's own could be run together. */
const PATIENCE_MS = 50;

export const createLinuxNetwork = (options: LinuxNetworkOptions): Network => {
  const { bridge, gateway, prefixLength, table } = options;
  const owner = ownerOf(options.resolver.directory);
  const rules = { ...options, owner, controllerUid: process.getuid?.() ?? 0 };
  const served = new Map<string, Served>();
  // Guests don't wait for each other; what is about all of them is done alone.
  const { shared, alone } = createSharedMutex();
  const inOrder = createKeyedMutex();
  // Many that come and go at once share programs.
  const together = {
    admit: createGathering((nics: GuestNic[]) => admitGuests(rules, nics), PATIENCE_MS),
    expel: createGathering((nics: Admission[]) => expelGuests(table, nics), PATIENCE_MS),
    pin: createGathering(
      (nics: GuestNic[]) =>
        change(
          "ip",
          nics.map((nic) => pinNeighbour(nic, bridge)),
        ),
      PATIENCE_MS,
    ),
    join: createGathering((changes: Change[]) => apply(changes), PATIENCE_MS),
    takeAway: createGathering((lines: string[][]) => takeAway(...lines.flat()), PATIENCE_MS),
  };
  const ofGuest = ({ tap }: GuestNic, work: () => Promise<void>): Promise<void> => inOrder(tap, () => shared(work));

  const resolver = {
    ...options.resolver,
    uid: resolverUid(options.vmmUids),
    address: gateway,
    bogus: BLOCKED_RANGES.filter((range) => !options.allow.some((allowed) => overlap(range, allowed))),
    logger: options.logger,
  };

  const ensure = (): Promise<void> =>
    alone(async () => {
      const [host, forwarding] = await Promise.all([readLinks(), readForwarding(bridge)]);
      await ensureBridge(rules, host);
      const guests = [...served.values()];
      const nics = guests.map(({ nic }) => nic);
      // Before forwarding is switched on: nothing is ever forwarded without the rules.
      await applyFirewall(rules, nics);
      await setSysctl("net/ipv4/ip_forward", "1");
      await applyEach(guests.map((guest) => mending(guest, host, forwarding, options)));
      await ensureResolver(resolver);
    });

  /** `ensureHost`, and the host knows these guests and lets them pass. */
  const ensureHostFor = createGathering(async (asked: (GuestNic | undefined)[]) => {
    const nics = asked.filter((nic) => nic !== undefined);
    const isDone = await shared(async () => {
      await ensureBridge(rules, await readLinks());
      await change(
        "ip",
        nics.map((nic) => pinNeighbour(nic, bridge)),
      );
      if (!(await refreshFirewall(rules, nics))) return false;
      await setSysctl("net/ipv4/ip_forward", "1");
      await ensureResolver(resolver);
      return true;
    });
    // The table has to be made anew, with all guests in it.
    if (!isDone) await ensure();
  }, HOST_PATIENCE_MS);

  /** What is there, and whose. `rows`: our table's. */
  const lookTogether = createGathering(async () => {
    const [host, rows] = await Promise.all([readLinks(), readTable(table)]);
    const { isThere, taken } = whoseBridge(rules, host);
    const isOurs = rows !== undefined && isTableOurs(rows, rules, taken !== undefined);
    return { host, hasBridge: isThere && !taken, rows: isOurs ? rows : undefined };
  }, PATIENCE_MS);
  const look = () => lookTogether(undefined);

  const found = async () => {
    const [{ host, rows }, namespaces] = await Promise.all([look(), ourNamespaces(owner)]);
    return foundThings(host, rows, namespaces, rules);
  };

  /** The TAP of a guest that is only prepared leaves its namespace. */
  const outOfNamespace = async ({ nic, isWaiting }: Served): Promise<Change[]> => {
    if (!isWaiting) return [];
    await takeTapOut(nic.tap, owner);
    return [{ ip: [`netns delete ${namespaceOf(nic.tap, owner)}`], bridge: [] }];
  };

  return {
    bridge,
    gateway,
    prefixLength,
    ensure,

    ensureHost: () => ensureHostFor(undefined),

    namespaceOf: ({ tap }) => {
      const name = namespaceOf(tap, owner);
      return { name, file: namespaceFile(name) };
    },

    prepare: (nic) =>
      inOrder(nic.tap, async () => {
        const before = served.get(nic.tap);
        const guest = { isWaiting: false, isJoined: false, ...before, nic };
        // First: what fails below is tried again by the next `ensure`.
        served.set(nic.tap, guest);
        // One that waits is in its namespace still, and somebody may have it open there.
        const makeTap = async (): Promise<void> => {
          if (!before?.isWaiting) guest.isWaiting = await ensureTap(nic, owner);
        };
        await allTriedAtOnce(
          () => ensureHostFor(nic),
          () => shared(makeTap),
        );
      }),

    join: (nic) =>
      ofGuest(nic, async () => {
        const before = served.get(nic.tap);
        const moved = before ? await outOfNamespace(before) : [];
        const guest = { nic, isWaiting: false, isJoined: true };
        served.set(nic.tap, guest);
        if (before && before.nic.mac !== nic.mac) {
          await together.pin(nic);
          await together.expel(before.nic);
          await together.admit(nic);
        }
        if (before?.isWaiting) return together.join(joined([...moved, joining(nic, bridge)]));
        const [host, forwarding] = await Promise.all([readLinks(), readForwarding(bridge)]);
        const tap = tapView(host, forwarding, nic, bridge);
        if (!tap || !isPortRight(tap, bridge)) await apply([joining(nic, bridge)]);
      }),

    remove: (nic) =>
      ofGuest(nic, async () => {
        const { mac = nic.mac } = served.get(nic.tap)?.nic ?? {};
        // A start that was refused for another controller's bridge or table is undone as well: theirs are left alone.
        const { hasBridge, rows } = served.delete(nic.tap) ? { hasBridge: true, rows: true } : await look();
        const gone = [
          `link delete dev ${nic.tap}`,
          ...(hasBridge ? [`neigh delete ${nic.address} dev ${bridge}`] : []),
        ];
        const expel = async (): Promise<void> => {
          if (!rows) return;
          await together.expel(nic);
          if (mac !== nic.mac) await together.expel({ ...nic, mac });
        };
        const takeLink = async (): Promise<void> => {
          await removeNamespace(namespaceOf(nic.tap, owner));
          await together.takeAway(gone);
        };
        await allTriedAtOnce(expel, takeLink);
      }),

    presence: async (nic) => {
      const { host, hasBridge, rows } = await look();
      return {
        tap: host.links.some(({ ifname }) => ifname === nic.tap),
        netns: await namespaceExists(namespaceOf(nic.tap, owner)),
        firewall: rows?.guests.some(({ address }) => address === nic.address) ?? false,
        neighbour: hasBridge && isFixed(neighbourView(host, nic, bridge)),
      };
    },

    // Beside all changes: one that hangs is what diagnosis may be after.
    view: (nic) => viewNic(nic, rules),

    found,

    removeFound: (thing) =>
      alone(async () => {
        const user = [...served.values()].find(({ nic }) => refOf(thing.kind, nic, owner) === thing.ref);
        if (user) throw inUse(thing, user.nic.tap);
        if (!(await found()).some(({ kind, ref }) => kind === thing.kind && ref === thing.ref)) return;
        if (thing.kind === "tap") await removeTap(thing.ref);
        if (thing.kind === "netns") await removeNamespace(thing.ref);
        if (thing.kind === "neighbour") {
          const { neighbours } = await readLinks();
          const entries = neighbours.filter(({ dev, lladdr }) => dev === bridge && lladdr === thing.ref);
          await takeAway(...entries.map(({ dst }) => `neigh delete ${dst} dev ${bridge}`));
        }
        if (thing.kind === "firewall") {
          const guests = (await look()).rows?.guests ?? [];
          for (const guest of guests) if (guest.address === thing.ref) await expelGuests(table, [guest]);
        }
      }),

    teardown: () =>
      alone(async () => {
        const { host, rows } = await look();
        const taps = ourTaps(host.links, { bridge, owner });
        if (taps.length > 0) {
          throw new AppError("conflict", "guests-left", `The network is in use: ${taps.join(", ")}.`, {
            hint: "Destroy the sessions first: sallyport destroy --all",
          });
        }
        await stopResolver(resolver);
        await removeBridge(rules, host);
        if (rows) await removeFirewall(table);
      }),
  };
};

const overlap = (a: string, b: string): boolean => overlaps(parseRange(a), parseRange(b));

const inUse = ({ kind, ref }: FoundThing, tap: string): AppError =>
  new AppError("conflict", "guest-in-use", `The ${kind} ${ref} is used by the guest behind ${tap}.`, {
    hint: "End its session instead: sallyport destroy SESSION.",
  });
