/** The program `dnsmasq`: a resolver of our own on the gateway's address, so that guests need no way to any other. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Resolver } from "node:dns/promises";
import { mkdir, open, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { AppError, errnoOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { identify, isAlive } from "../lib/process.ts";
import { poll } from "../lib/wait.ts";
import { missingTool } from "./tool.ts";

export interface ResolverOptions {
  /** Holds `resolver.json`, who is running with what, and `dnsmasq.log`. */
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

const record = z.object({ pid: z.int(), startTicks: z.string(), args: z.array(z.string()) });
type Running = z.infer<typeof record>;

/**
 * Runs detached, outlives the controller and is found again by `resolver.json`. Started anew when dead, deaf, or run
 * with other options. Throws AppError `resolver-died` or `command-missing`.
 */
export const ensureResolver = async (options: ResolverOptions): Promise<void> => {
  const args = resolverArguments(options);
  const running = await findRunning(options.directory);
  const isSame = running !== undefined && running.args.join("\0") === args.join("\0");
  if (isSame && (await answers(options.address))) return;
  if (running) await stop(running);
  await start(options, args);
};

export const stopResolver = async (directory: string): Promise<void> => {
  const running = await findRunning(directory);
  if (running) await stop(running);
  await rm(join(directory, "resolver.json"), { force: true });
};

export const resolverArguments = (options: Omit<ResolverOptions, "directory" | "logger">): string[] => [
  "--keep-in-foreground",
  "--conf-file=/dev/null",
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
  const child = spawn("dnsmasq", args, { detached: true, cwd: "/", env: { PATH }, stdio: ["ignore", log.fd, log.fd] });
  child.unref();
  try {
    await once(child, "spawn");
  } catch (error) {
    throw errnoOf(error) === "ENOENT" ? missingTool("dnsmasq", error) : error;
  } finally {
    await log.close();
  }
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (identity) {
    const running: Running = { ...identity, args };
    await writeFile(join(options.directory, "resolver.json"), JSON.stringify(running), { mode: 0o600 });
  }
  const isUp = await poll(
    async () => {
      if (!identity || !(await isAlive(identity))) return false;
      return (await answers(options.address)) || undefined;
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

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const stop = async (running: Running): Promise<void> => {
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

/** What `resolver.json` says, if that very process is alive. A file that can't be read says nothing. */
const findRunning = async (directory: string): Promise<Running | undefined> => {
  let text: string;
  try {
    text = await readFile(join(directory, "resolver.json"), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const parsed = record.safeParse(tryJson(text));
  return parsed.success && (await isAlive(parsed.data)) ? parsed.data : undefined;
};

/** A file half written when the power went is no file; dnsmasq ended with it. */
const tryJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

const answers = async (address: string): Promise<boolean> => {
  const resolver = new Resolver({ timeout: 1_000, tries: 1 });
  resolver.setServers([address]);
  try {
    return (await resolver.resolveTxt(PROBE_NAME)).length > 0;
  } catch {
    // Refused, timed out, no such name: whichever it is, our resolver is not there.
    return false;
  }
};
