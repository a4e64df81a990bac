/** The interfaces that chains hang on. nft 1.0.6 (Debian 12) leaves them out of its JSON; its text has them. Pure but for `list`. */
import type { Ruleset } from "./ruleset.ts";

/** `list` gives what `nft list chains` prints, and is asked only where the JSON lacks something. */
export const withDevices = async (ruleset: Ruleset, list: () => Promise<string>): Promise<Ruleset> => {
  const isBlind = ruleset.chains.some(
    ({ hook = "", dev }) => ["ingress", "egress"].includes(hook) && dev === undefined,
  );
  if (!isBlind) return ruleset;
  const devices = devicesIn(await list());
  const chains = ruleset.chains.map((chain) => {
    const dev = chain.dev ?? devices.get(`${chain.family} ${chain.table} ${chain.name}`);
    return dev === undefined ? chain : { ...chain, dev };
  });
  return { ...ruleset, chains };
};

/** By `family table chain`. */
const devicesIn = (text: string): Map<string, string[]> => {
  const found = new Map<string, string[]>();
  let [table, chain] = ["", ""];
  for (const line of text.split("\n")) {
    table = /^table (\S+ \S+) \{/.exec(line)?.[1] ?? table;
    chain = /^\tchain (\S+) \{/.exec(line)?.[1] ?? chain;
    // `device "a"`, or `devices = { a, b }`, quoted or not.
    const devices = /^\t\ttype .* hook \S+ devices? (.*) priority /.exec(line)?.[1]?.match(/[^\s"={},]+/g);
    if (devices) found.set(`${table} ${chain}`, devices);
  }
  return found;
};
