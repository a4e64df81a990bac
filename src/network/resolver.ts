/** The program `dnsmasq`: a resolver of our own on the gateway's address, so that guests need no way to any other. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Resolver } from "node:dns/promises";
import { mkdir, open, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { AppError, errnoOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { findProcesses, identify, isAlive, type ProcessIdentity } from "../lib/process.ts";
import { SYSTEM_PATH } from "../lib/programs.ts";
import { poll } from "../lib/wait.ts";
import { missingTool } from "./tool.ts";

export interface ResolverOptions {
  /** Holds `dnsmasq.log` and `dnsmasq.pid`, and marks the process as ours. */
  directory: string;
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
 * Runs detached, outlives the controller and is found again by its command line, which names our directory: there is no
 * file that could say something else. Started anew when dead, deaf, or run with other options. Throws AppError `resolver-died` or `command-missing`.
 */
export const ensureResolver = async (options: ResolverOptions): Promise<void> => {
  const args = resolverArguments(options);
  const running = await findRunning(options.directory);
  const isSame = running.length === 1 && running[0]?.args.join("\0") === args.join("\0");
  if (isSame && (await answers(options.address))) return;
  for (const { process } of running) await stop(process);
  await start(options, args);
};

export const stopResolver = async (directory: string): Promise<void> => {
  for (const { process } of await findRunning(directory)) await stop(process);
};

export const resolverArguments = (options: Omit<ResolverOptions, "logger">): string[] => [
  "--keep-in-foreground",
  "--conf-file=/dev/null",
  markOf(options.directory),
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

const start = async (options: ResolverOptions, args: string[]): Promise<void> => {
  await mkdir(options.directory, { recursive: true });
  const logFile = join(options.directory, "dnsmasq.log");
  const log = await open(logFile, "w", 0o600);
  // No pipe to this process, so that nothing breaks for it when this one ends.
  const child = spawn("dnsmasq", args, {
    detached: true,
    cwd: "/",
    env: { PATH: SYSTEM_PATH },
    stdio: ["ignore", log.fd, log.fd],
  });
  child.unref();
  try {
    await once(child, "spawn");
  } catch (error) {
    throw errnoOf(error) === "ENOENT" ? missingTool("dnsmasq", error) : error;
  } finally {
    await log.close();
  }
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  const isUp = await poll(
    async () => {
      if (!identity || !(await isAlive(identity))) return false;
      // An answer counts only while this process lives: another one's answer would hide that ours could not bind.
      return ((await answers(options.address)) && (await isAlive(identity))) || undefined;
    },
    { what: "the guests' name resolver (dnsmasq)", timeoutMs: 5_000, intervalMs: 50 },
  );
  if (!isUp) {
    const tail = (await readFile(logFile, "utf8")).trim().slice(-1000);
    throw new AppError("unavailable", "resolver-died", `The guests' name resolver (dnsmasq) did not start: ${tail}`, {
      hint: `Is another name server bound to every address of this host? See: ss -lunp 'sport = 53'. Log: ${logFile}`,
    });
  }
  options.logger.info({ pid: child.pid, address: options.address }, "resolver started");
};

const stop = async (running: ProcessIdentity): Promise<void> => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (!(await isAlive(running))) return;
    try {
      process.kill(running.pid, signal);
      await poll(async () => !(await isAlive(running)) || undefined, {
        what: `the end of the resolver, process ${running.pid}, after ${signal}`,
        timeoutMs: 2_000,
        intervalMs: 20,
      });
    } catch (error) {
      // It ended by itself in between, or does not mind the first signal; the second is not to be minded.
      const isTolerable = errnoOf(error) === "ESRCH" || (error instanceof AppError && signal === "SIGTERM");
      if (!isTolerable) throw error;
    }
  }
};

/** Ours among this host's processes, program name left out: one, or more after a crash between start and answer. */
const findRunning = async (directory: string): Promise<{ process: ProcessIdentity; args: string[] }[]> =>
  (await findProcesses(([file = "", ...args]) => basename(file) === "dnsmasq" && args.includes(markOf(directory)))).map(
    ({ process, args }) => ({ process, args: args.slice(1) }),
  );

/** dnsmasq writes its number there; what matters is that the argument names whose it is. */
const markOf = (directory: string): string => `--pid-file=${join(directory, "dnsmasq.pid")}`;

/** Whether our resolver, and no other server, answers on the address; within a second. */
export const answers = async (address: string): Promise<boolean> => {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([address]);
  try {
    return (await resolver.resolveTxt(PROBE_NAME)).length > 0;
  } catch {
    // Refused, timed out, no such name: whichever it is, our resolver is not there.
    return false;
  }
};
