/** The program `dnsmasq`: a resolver of our own on the gateway's address, so that guests need no way to any other. */
import { Resolver } from "node:dns/promises";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startDaemon } from "../lib/daemon.ts";
import { AppError, errnoOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { commandLine, isAlive, killProcess, processesOf, type ProcessIdentity } from "../lib/process.ts";
import { findProgram, SYSTEM_PATH } from "../lib/programs.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { poll } from "../lib/wait.ts";
import { missingTool } from "./tool.ts";

/** Which resolver on this host is ours. */
export interface ResolverPlace {
  /** Holds `dnsmasq.log`, and tells ours from that of another controller with the same user. */
  directory: string;
  /** User and group that it runs as, and nobody else. */
  uid: number;
}

export interface ResolverOptions extends ResolverPlace {
  address: string;
  /** Name servers to ask; empty: those of the host's /etc/resolv.conf, re-read when it changes. */
  upstream: string[];
  /** Ranges no answer may name, `a.b.c.d/p`: what guests can't reach anyway, and their own loopback (DNS rebinding). */
  bogus: string[];
  logger: Logger;
}

/** A name only our resolver knows: whoever answers it is neither another server nor hung. */
const PROBE_NAME = "resolver.sallyport.internal";

/**
 * Runs detached, outlives the controller and is found again by its user, which no process of another user can have, and by
 * its command line, which names our directory: nothing has to be written down for it. Started anew when dead, deaf, or run
 * with other options. Throws AppError `resolver-died`, `command-missing` or `process-stays`.
 */
export const ensureResolver = async (options: ResolverOptions): Promise<void> => {
  const args = resolverArguments(options);
  const running = await findResolvers(options);
  // More than one: it forks for a question over TCP, which any guest may ask.
  const isSame = running.length > 0 && running.every((one) => one.args.join("\0") === args.join("\0"));
  if (isSame && (await answers(options.address))) return;
  await stopResolver(options);
  await start(options, args);
};

export const stopResolver = async (place: ResolverPlace): Promise<void> => {
  // It keeps nothing that it would have to put away.
  for (const { process } of await findResolvers(place)) await killProcess("The guests' name resolver", process);
};

/** Whom the resolver of an earlier version runs as: root, or nobody, as which daemons run but no account of a person does. */
const FORMER_UIDS = [0, 65_534];

/**
 * Ours among this host's processes, program name left out. Of an earlier version's users it is the one process that our folder has the
 * number of, as that version's dnsmasq wrote it.
 */
export const findResolvers = async ({ directory, uid }: ResolverPlace) => {
  const formerFile = join(directory, "dnsmasq.pid");
  const formerPid = Number(await unlessMissing(readFile(formerFile, "utf8"), "0"));
  const found: { process: ProcessIdentity; args: string[] }[] = [];
  for (const { process, uid: user } of await processesOf((one) => one === uid || FORMER_UIDS.includes(one))) {
    if (user !== uid && process.pid !== formerPid) continue;
    const args = (await commandLine(process.pid)).slice(1);
    if (args.includes(user === uid ? markOf(directory) : `--pid-file=${formerFile}`)) found.push({ process, args });
  }
  return found;
};

/** Program name left out. Pure. */
export const resolverArguments = (options: Omit<ResolverOptions, "logger">): string[] => [
  "--keep-in-foreground",
  "--conf-file=/dev/null",
  markOf(options.directory),
  "--pid-file",
  "--log-facility=-",
  // Only this address, and again when the bridge was removed and made anew.
  `--listen-address=${options.address}`,
  "--bind-dynamic",
  "--no-hosts",
  "--domain-needed",
  "--bogus-priv",
  // Guests have no IPv6: an address they can't reach only makes Firefox try it first.
  "--filter-AAAA",
  "--cache-size=1000",
  // One guest's open questions to a silent server must not leave no room for another's.
  "--dns-forward-max=2000",
  // Says nothing of itself: upstream servers and statistics are the host's own affair.
  "--no-ident",
  `--txt-record=${PROBE_NAME},here`,
  // Not --stop-dns-rebind, whose list is fixed: it knows no exceptions and refuses the documentation ranges, too.
  ...options.bogus.map((range) => `--bogus-nxdomain=${range}`),
  ...(options.upstream.length === 0
    ? ["--resolv-file=/etc/resolv.conf"]
    : ["--no-resolv", ...options.upstream.map((server) => `--server=${server}`)]),
];

/** It may bind a port below 1024, and nothing else that an ordinary user may not. */
const unprivileged = (uid: number, command: string[]): string[] => [
  "setpriv",
  `--reuid=${uid}`,
  `--regid=${uid}`,
  "--clear-groups",
  "--no-new-privs",
  ...["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=-all,+net_bind_service`),
  "--",
  ...command,
];

const start = async (options: ResolverOptions, args: string[]): Promise<void> => {
  // Of setpriv we would only hear that what it should become is not there.
  if (!findProgram("dnsmasq", SYSTEM_PATH)) throw missingTool("dnsmasq");
  await mkdir(options.directory, { recursive: true });
  const logFile = join(options.directory, "dnsmasq.log");
  await writeFile(logFile, "", { mode: 0o600 });
  const { identity } = await startDaemon({ argv: unprivileged(options.uid, ["dnsmasq", ...args]), logFile });
  const isUp = await poll(
    async () => {
      if (!(await isAlive(identity))) return false;
      // An answer counts only while this process lives: another one's answer would hide that ours could not bind.
      return ((await answers(options.address)) && (await isAlive(identity))) || undefined;
    },
    { what: "the guests' name resolver (dnsmasq)", timeoutMs: 5_000, intervalMs: 50 },
  );
  if (!isUp) {
    const tail = (await readFile(logFile, "utf8")).trim().slice(-1000);
    throw new AppError("unavailable", "resolver-died", `The guests' name resolver (dnsmasq) did not start: ${tail}`, {
      hint: `Is another name server bound to every address of this host, or a former one of ours? See: ss -lunp 'sport = 53'. Log: ${logFile}`,
    });
  }
  options.logger.info({ pid: identity.pid, address: options.address }, "resolver started");
};

/** An option for DHCP, which it does not do: no file is opened. */
const markOf = (directory: string): string => `--dhcp-leasefile=${join(directory, "none")}`;

/** Whether our resolver, and no other server, answers on the address; within a second. */
export const answers = (address: string): Promise<boolean> =>
  // Late: whatever keeps it, guests wait in vain, too.
  isResolving(address).catch(() => false);

/** As `answers`; throws when nothing is heard within a second. */
export const isResolving = async (address: string): Promise<boolean> => {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([address]);
  try {
    return (await resolver.resolveTxt(PROBE_NAME)).length > 0;
  } catch (error) {
    if (errnoOf(error) === "ETIMEOUT") throw error;
    // Refused, no such name: our resolver is not there.
    return false;
  }
};
