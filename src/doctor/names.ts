/** Name resolution: the servers that guests' queries end up at, and our resolver in between. */
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { errnoOf } from "../lib/errors.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { answers } from "../network/resolver.ts";
import { ok, problem, warning, type Check } from "./check.ts";

const RESOLV_CONF = "/etc/resolv.conf";

export const names: Check = {
  name: "names",
  look: async ({ config }) => {
    const configured = config.network.dns.upstream;
    const source = configured.length > 0 ? "network.dns.upstream" : RESOLV_CONF;
    const servers =
      configured.length > 0 ? configured : nameservers(await unlessMissing(readFile(RESOLV_CONF, "utf8"), ""));
    if (servers.length === 0) {
      return problem(`${source} names no name server: guests can resolve nothing.`, "set network.dns.upstream");
    }
    const haveAnswered = await Promise.all(servers.map(isAnswering));
    const silent = servers.filter((_server, index) => !haveAnswered[index]);
    if (silent.length === 0) return ok(`${servers.join(", ")} (${source}) answers.`);
    const text = `No answer from the name server ${silent.join(", ")} (${source}) within ${TIMEOUT_MS / 1000} s.`;
    const mend = `mend ${source}`;
    return silent.length === servers.length
      ? problem(`${text} Guests can resolve nothing.`, mend)
      : warning(text, mend);
  },
};

export const resolver: Check = {
  name: "resolver",
  look: async ({ network, vmms }) => {
    if (await answers(network.gateway)) return ok(`Our resolver answers on ${network.gateway}.`);
    return (await vmms()).length > 0
      ? problem(
          `Our resolver does not answer on ${network.gateway}: running guests can resolve nothing.`,
          "restart the controller; who else has the port: ss -lunp 'sport = 53'",
        )
      : ok("Our resolver is not running; it is started with the first session.");
  },
};

const TIMEOUT_MS = 2_000;

/** Pure. */
export const nameservers = (text: string): string[] =>
  [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].flatMap((match) => match[1] ?? []);

/** Asks for the root's servers, which every resolver has an answer to, if only that it can't reach them. */
const isAnswering = async (server: string): Promise<boolean> => {
  const asked = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  try {
    asked.setServers([server.includes(":") ? `[${server}]` : server]);
    await asked.resolveNs(".");
    return true;
  } catch (error) {
    // "I don't know", "I can't" and "I won't" are answers, too.
    return !["ETIMEOUT", "ECONNREFUSED", "ECANCELLED", "ERR_INVALID_IP_ADDRESS"].includes(errnoOf(error) ?? "");
  }
};
