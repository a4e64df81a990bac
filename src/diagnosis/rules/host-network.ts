/** Causes on the host's side of the network: TAP, bridge, firewall, neighbour table. */
import type { Facts } from "../../contract/diagnosis.ts";
import { type HostTrouble, troublesOf } from "../../network/trouble.ts";
import { rules } from "../rule.ts";
import { isReachable, isWithoutNic, reachLine } from "./lines.ts";

/** `ensure` of network/linux.ts, which the controller calls every minute while a microVM runs. */
const MENDED =
  "The controller puts it right within a minute, and a session that lives goes on; one that failed has to be started again.";

/** Before a microVM runs, nothing of its network has to be there. */
const isRunning = ({ host }: Facts): boolean => host.vmm.isAlive === true;

const has =
  (trouble: HostTrouble) =>
  (facts: Facts): boolean =>
    isRunning(facts) && troublesOf(facts.host, facts.expected).includes(trouble);

export const HOST_NETWORK_RULES = rules([
  {
    code: "bridge-missing",
    recognisedBy: "the bridge does not exist while a microVM runs",
    when: has("bridge-missing"),
    sentence: ({ expected }) => `The host's bridge ${expected.bridge} is gone: no guest has a way out.`,
    evidence: ({ expected }) => [`host: there is no interface ${expected.bridge}`],
    hint: `Somebody removed it. ${MENDED}`,
  },
  {
    code: "bridge-down",
    recognisedBy: "the bridge exists and is down",
    when: has("bridge-down"),
    sentence: ({ expected }) => `The host's bridge ${expected.bridge} is down: no guest has a way out.`,
    evidence: ({ expected }) => [`host: ${expected.bridge} is not UP`],
    hint: `Somebody set it down (a network manager that takes over bridges?). ${MENDED}`,
  },
  {
    code: "bridge-without-address",
    recognisedBy: "the bridge does not have the gateway's address",
    when: has("bridge-without-address"),
    sentence: ({ expected }) =>
      `The host's bridge ${expected.bridge} has lost the address ${expected.gateway}: guests have no gateway, and the host no route to them.`,
    evidence: (facts) => [
      `host: ${facts.expected.bridge} has ${facts.host.bridge?.addresses.join(", ") || "no address"}`,
      reachLine(facts),
    ],
    hint: `Somebody removed it (a network manager that takes over bridges?). ${MENDED}`,
  },
  {
    code: "tap-missing",
    recognisedBy: "the microVM runs and its TAP is neither on the host nor in the network namespace that it is made in",
    when: has("tap-missing"),
    sentence: ({ expected }) => `The guest's TAP ${expected.tap} is gone: its network card leads nowhere.`,
    evidence: ({ expected }) => [`host: there is no interface ${expected.tap}, here or in a namespace of its own`],
    hint: "Somebody removed it, and a running guest cannot be given another: start a new sign-in.",
  },
  {
    code: "tap-down",
    recognisedBy: "the guest's TAP exists and is down",
    when: has("tap-down"),
    sentence: ({ expected }) => `The guest's TAP ${expected.tap} is down on the host: no frame passes it.`,
    evidence: (facts) => [`host: ${tapLine(facts)}`, reachLine(facts)],
    hint: `Somebody set it down (a network manager that takes over TAPs?). ${MENDED}`,
  },
  {
    code: "tap-not-on-bridge",
    recognisedBy: "the guest's TAP is on no bridge, or on another",
    when: has("tap-not-on-bridge"),
    sentence: ({ expected, host: { tap } }) =>
      `The guest's TAP ${expected.tap} is ${tap && tap !== "waiting" && tap.bridge ? `on ${tap.bridge}` : "on no bridge"} instead of ${expected.bridge}: its frames reach nobody.`,
    evidence: (facts) => [`host: ${tapLine(facts)}`, reachLine(facts)],
    hint: `Somebody took it off. ${MENDED}`,
  },
  {
    code: "tap-not-open",
    recognisedBy:
      "the guest's TAP is up and has no carrier, and the guest, which does not answer over it, says on the channel that it has a network card",
    when: (facts) => has("tap-not-open")(facts) && !isReachable(facts) && !!facts.guest && !isWithoutNic(facts),
    sentence: ({ expected }) =>
      `Nobody has the guest's TAP ${expected.tap} open: it was removed and made anew, and its VMM still holds the old one.`,
    evidence: (facts) => [`host: ${tapLine(facts)}`, reachLine(facts)],
    hint: "A running guest cannot be given another: start a new sign-in, and find out who removes TAPs.",
  },
  {
    code: "firewall-table-missing",
    recognisedBy: "Sallyport's nftables table does not exist while a microVM runs",
    when: has("firewall-table-missing"),
    sentence: () => "Sallyport's firewall table is gone: nothing keeps guests from the host and from private networks.",
    evidence: () => ["host: nft knows no such table"],
    hint: `Something flushed all rules (nft flush ruleset, a firewall service's restart). ${MENDED}`,
  },
  {
    code: "firewall-drops-guest",
    recognisedBy: "the guest is not in the set of guests that the firewall lets pass",
    when: has("firewall-drops-guest"),
    sentence: ({ expected }) =>
      `The host's firewall drops everything from this guest: ${expected.address} with ${expected.mac} is not in the set of guests.`,
    evidence: (facts) => [
      "host: the pair of address and MAC is not in the table's set `guests`",
      `host: ${facts.host.firewall?.counters.spoofed ?? 0} packets of all guests together dropped as not their own`,
      reachLine(facts),
    ],
    hint: `Somebody changed the table. ${MENDED}`,
  },
  {
    code: "foreign-firewall-drops",
    recognisedBy:
      "another rule of the host's packet filter is certain to drop what goes between host and guest (which then does not answer), a guest's name queries, or its way to the internet",
    when: (facts) =>
      isRunning(facts) && !!facts.host.foreignDrops?.some((drop) => !drop.keepsHostOut || !isReachable(facts)),
    sentence: ({ host }) =>
      host.foreignDrops?.some((drop) => drop.keepsHostOut)
        ? "Another firewall rule on this host drops what passes between host and guest."
        : "Another firewall rule on this host keeps guests from the internet or from their name server.",
    evidence: (facts) => [
      ...(facts.host.foreignDrops ?? []).map((drop) => `host: dropped: ${drop.text}`),
      reachLine(facts),
      `host: ${facts.host.firewall?.counters.forwarded ?? 0} connections of guests left, ${facts.host.firewall?.counters.returned ?? 0} packets of answers came back`,
    ],
    hint: "Let the bridge pass there as well (Docker: rules in DOCKER-USER; ufw: ufw route allow); an accept of Sallyport's table does not overrule another table's drop.",
  },
  {
    code: "neighbour-missing",
    recognisedBy: "the host's neighbour table lacks the guest's fixed entry, and the guest does not answer",
    when: (facts) => has("neighbour-missing")(facts) && !isReachable(facts),
    sentence: ({ expected }) =>
      `The host does not know the MAC of ${expected.address}, and cannot ask: broadcasts do not reach guests.`,
    evidence: (facts) => [
      `host: neighbour entry ${facts.host.neighbour ? `${facts.host.neighbour.mac} ${facts.host.neighbour.state}` : "missing"}`,
      reachLine(facts),
    ],
    hint: `Somebody flushed the neighbour table. ${MENDED}`,
  },
  {
    code: "forwarding-entry-missing",
    recognisedBy: "the bridge does not know on which port the guest's MAC is, and the guest does not answer",
    when: (facts) => has("forwarding-entry-missing")(facts) && !isReachable(facts),
    sentence: ({ expected }) =>
      `The bridge ${expected.bridge} does not know that ${expected.mac} is behind ${expected.tap}, and it may not learn it.`,
    evidence: (facts) => [`host: ${tapLine(facts)}`, reachLine(facts)],
    hint: `Somebody changed the bridge's forwarding table. ${MENDED}`,
  },
  {
    code: "forwarding-off",
    recognisedBy: "net.ipv4.ip_forward is 0",
    when: has("forwarding-off"),
    sentence: () => "This host does not forward packets: guests reach the host, but not the internet.",
    evidence: () => ["host: net.ipv4.ip_forward = 0"],
    hint: `Something set it back (a sysctl file, another program). ${MENDED}`,
    isMinor: true,
  },
  {
    code: "resolver-gone",
    recognisedBy:
      "on the gateway's address nobody answers the question that only the guests' resolver has an answer to",
    when: has("resolver-gone"),
    sentence: ({ expected }) =>
      `The guests' name resolver does not run on ${expected.gateway}: guests reach addresses, but find no names.`,
    evidence: ({ expected }) => [`host: our resolver (dnsmasq) does not answer on ${expected.gateway}`],
    hint: `Something ended it, or took its port (ss -lunp 'sport = 53'). ${MENDED}`,
    isMinor: true,
  },
]);

const tapLine = ({ host, expected }: Facts): string =>
  host.tap && host.tap !== "waiting"
    ? `${expected.tap} is ${host.tap.isUp ? "up" : "down"}, ${host.tap.hasCarrier ? "with" : "without"} carrier, on ${host.tap.bridge ?? "no bridge"}` +
      `, ${host.tap.hasForwardingEntry ? "with" : "without"} forwarding entry; ${host.tap.framesFromGuest} frames from the guest, ${host.tap.framesToGuest} to it`
    : `there is no interface ${expected.tap}`;
