import { expect, test } from "vitest";
import { withDevices } from "./chain-devices.ts";
import { parseRuleset } from "./ruleset.ts";

/** As nft 1.0.6 prints the same chains both ways. */
const JSON_LISTING = `{"nftables": [{"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
  {"table": {"family": "netdev", "name": "watch", "handle": 2}},
  {"chain": {"family": "netdev", "table": "watch", "name": "one", "handle": 1, "type": "filter", "hook": "ingress", "prio": 0, "policy": "accept"}},
  {"chain": {"family": "netdev", "table": "watch", "name": "two", "handle": 2, "type": "filter", "hook": "ingress", "prio": 10, "policy": "drop"}},
  {"table": {"family": "inet", "name": "watch", "handle": 5}},
  {"chain": {"family": "inet", "table": "watch", "name": "one", "handle": 1, "type": "filter", "hook": "ingress", "prio": 0, "policy": "accept"}},
  {"chain": {"family": "inet", "table": "watch", "name": "input", "handle": 2, "type": "filter", "hook": "input", "prio": 0, "policy": "accept"}}]}`;
const TEXT_LISTING = `table netdev watch {
	chain one {
		type filter hook ingress device "sp-a" priority filter; policy accept;
	}
	chain two {
		type filter hook ingress devices = { br0, sp-a } priority filter + 10; policy drop;
	}
}
table inet watch {
	chain one {
		type filter hook ingress device "br0" priority filter; policy accept;
	}
	chain input {
		type filter hook input priority filter; policy accept;
	}
}
`;

test("devices that the JSON lacks are those of the text", async () => {
  const { chains } = await withDevices(parseRuleset(JSON_LISTING), async () => TEXT_LISTING);
  expect(chains.map(({ dev }) => dev)).toEqual([["sp-a"], ["br0", "sp-a"], ["br0"], undefined]);
});

test.each([
  ["has them", JSON_LISTING.replaceAll('"hook": "ingress"', '"hook": "ingress", "dev": ["eth0"]')],
  ["has no chain of a device", '{"nftables": []}'],
])("the text is not asked for where the JSON %s", async (_what, json) => {
  const ruleset = parseRuleset(json);
  const refuse = async (): Promise<string> => expect.unreachable();
  expect(await withDevices(ruleset, refuse)).toEqual(ruleset);
});
