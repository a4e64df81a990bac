import { expect, test } from "vitest";
import { resolverArguments } from "./resolver.ts";

const place = { directory: "/data/network", uid: 1234, address: "192.168.100.1" };
const args = resolverArguments({ ...place, upstream: ["9.9.9.9", "1.1.1.1"], bogus: ["10.0.0.0/8", "127.0.0.0/8"] });

/** Each option of the command line, in order, and what is without it. */
const OPTIONS = [
  ["--keep-in-foreground", "the process that was started would end, and another go on"],
  ["--conf-file=/dev/null", "a file of the host would change the resolver"],
  ["--dhcp-leasefile=/data/network/none", "the next controller would not find it"],
  ["--pid-file", "a file would be written that is the host's own resolver's"],
  ["--log-facility=-", "why it ended would stand in the host's log and not in ours"],
  ["--listen-address=192.168.100.1", "it would answer on every address of the host"],
  ["--bind-dynamic", "it would be deaf after the bridge was made anew"],
  ["--no-hosts", "guests would read the host's /etc/hosts"],
  ["--domain-needed", "names of the host's own network would be asked for"],
  ["--bogus-priv", "guests would ask the host's resolvers for the names of private addresses"],
  ["--filter-AAAA", "Firefox would try addresses first that no guest can reach"],
  ["--cache-size=1000", "150 names would be all that is remembered"],
  ["--dns-forward-max=2000", "150 open questions of one guest would keep all others from being answered"],
  ["--no-ident", "guests would be told its version and the host's name servers"],
  ["--txt-record=resolver.sallyport.internal,here", "another server that answers would pass for it"],
  ["--bogus-nxdomain=10.0.0.0/8", "a name would lead a page into the host's network"],
  ["--bogus-nxdomain=127.0.0.0/8", "a name would lead a page to the guest's own loopback"],
  ["--no-resolv", "others than the configured name servers would be asked"],
  ["--server=9.9.9.9", "the first configured one would not be asked"],
  ["--server=1.1.1.1", "the second would not be asked"],
] as const;

test.each(OPTIONS)("the resolver has %s: without it %s", (option) => expect(args).toContain(option));

test("it has no other option, and in this order: one with other words is taken for another's and started anew", () => {
  expect(args).toEqual(OPTIONS.map(([option]) => option));
});

test("where no name server is configured it asks the host's, as they change", () => {
  const hosts = resolverArguments({ ...place, upstream: [], bogus: [] });
  expect(hosts.slice(-2)).toEqual(["--txt-record=resolver.sallyport.internal,here", "--resolv-file=/etc/resolv.conf"]);
});
