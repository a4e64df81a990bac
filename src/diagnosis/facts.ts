/** Gathers all that a diagnosis is made of: everything at once, each with a time-out, nothing changed. */
import { availableParallelism, loadavg } from "node:os";
import type { GuestChannel } from "../channel/channel.ts";
import type { Facts, GuestFacts, HostFacts } from "../contract/diagnosis.ts";
import type { StartStage } from "../contract/session.ts";
import { messageOf } from "../lib/errors.ts";
import { diskFreeMib, memAvailableMib } from "../lib/host-room.ts";
import { isAlive, isStopped, type ProcessIdentity } from "../lib/process.ts";
import { redactText } from "../lib/redact.ts";
import type { GuestNic } from "../network/guest-nic.ts";
import type { Network } from "../network/network.ts";
import { oneLine, plainText } from "../lib/terminal.ts";
import { readEnd } from "../lib/read-end.ts";
import { isDeadline, orAfter, poll } from "../lib/wait.ts";
import { cgroupFacts } from "../vmm/cgroup.ts";
import { endOf, type ExitCodes } from "../vmm/exit.ts";
import { exitIn } from "../vmm/process.ts";
import { noConsole } from "./console-facts.ts";
import { createConsoleReader } from "./console-reader.ts";
import { askGuest } from "./guest-facts.ts";

export interface FactOptions {
  /** The stage that is awaited; null when all were passed. */
  stage: StartStage | null;
  plan: Facts["plan"];
  isOverdue: boolean;
  /** For the guest's own view. */
  guestTimeoutMs: number;
  nic: GuestNic;
  /** Null: it was never started. */
  process: ProcessIdentity | null;
  network: Network;
  /** Undefined: it was never opened, or the guest is not to be asked. */
  channel: GuestChannel | undefined;
  /** Asks the VMM itself what its machine does; within two seconds. */
  machine: () => Promise<HostFacts["vmm"]["machine"]>;
  consoleFile: string;
  vmmLog: string;
  /** The microVM's, as in /proc/PID/cgroup; with what it counted it is there until the microVM is destroyed. */
  cgroup: string;
  /** What the VMM means by how it ends. */
  exitCodes: ExitCodes;
  dataDir: string;
  /** Undefined when the guest answers, else what happened; within two seconds. */
  probes: { health: () => Promise<string | undefined>; rfb: () => Promise<string | undefined> };
  /** The microVM that a lease gives an address to. */
  holderOf: (address: string) => Promise<string | undefined>;
  vmId: string;
}

/** All parts are asked at once. */
const PART_TIMEOUT_MS = 3000;
/** The VMM's own words are few, but nothing keeps it from more. */
const LOG_BYTES = 64 * 1024;
const LOG_TAIL_LINES = 10;
/** For the end of a VMM to be told of. */
const END_TOLD_MS = 1000;

/** Takes at most about as long as the guest is given, three seconds at least. A part that fails is told in `missing`; never throws for one. */
export const collectFacts = async (options: FactOptions): Promise<Facts> => {
  const missing: string[] = [];
  const learn: Learn = async (name, ask, timeoutMs = PART_TIMEOUT_MS) => {
    try {
      return await orAfter(ask(), timeoutMs, () => {
        throw new Error(`no answer within ${timeoutMs / 1000} s`);
      });
    } catch (error) {
      missing.push(`${name}: ${oneLine(redactText(messageOf(error)))}`);
      return undefined;
    }
  };
  const { channel, guestTimeoutMs, nic, network, stage, plan, isOverdue } = options;
  const silence = await whyNotAsked(options).catch(messageOf);
  if (silence !== undefined) missing.push(`the guest's own view: ${silence}`);
  const guest =
    channel && silence === undefined
      ? learn("the guest's own view", () => askGuest(channel, guestTimeoutMs), guestTimeoutMs)
      : Promise.resolve(undefined);
  const takenAddress = guest.then(
    (facts) => facts && learn("leases of the guest's addresses", () => takenBy(facts, nic, options.holderOf)),
  );
  const [host, console_, guestFacts] = await Promise.all([
    hostFacts(options, learn, takenAddress),
    learn("console", () => createConsoleReader(options.consoleFile).look()),
    guest,
  ]);
  const { address, mac, tap } = nic;
  const { gateway, bridge } = network;
  return {
    at: new Date().toISOString(),
    stage,
    plan,
    isOverdue,
    expected: { address, gateway, mac, tap, bridge },
    host,
    console: console_ ?? noConsole(),
    ...(silence === undefined ? { guest: guestFacts ?? null } : {}),
    missing: [...missing, ...(guestFacts?.missing ?? []).map((line) => `in the guest: ${line}`)],
  };
};

/** Undefined when the guest can be asked. */
const whyNotAsked = async ({ channel, process }: FactOptions): Promise<string | undefined> => {
  if (!channel) return "the channel was not open yet";
  if (!process || !(await isAlive(process))) return "the VMM is gone, and the guest with it";
  return (await isStopped(process)) ? "the VMM stands still, and the guest with it" : undefined;
};

type Learn = <T>(name: string, ask: () => Promise<T>, timeoutMs?: number) => Promise<T | undefined>;

const hostFacts = async (
  options: FactOptions,
  learn: Learn,
  taken: Promise<string | null | undefined>,
): Promise<HostFacts> => {
  const { nic, process, probes, holderOf, vmId } = options;
  const view = options.network.view(nic);
  const [known, vmm, cgroup, log = "", machine] = await Promise.all([
    whatIsKnown({
      tap: learn("TAP", view.tap),
      bridge: learn("bridge", view.bridge),
      neighbour: learn("neighbour table", view.neighbour),
      firewall: learn("firewall", view.firewall),
      foreignDrops: learn("other firewall rules", view.foreignDrops),
      isForwarding: learn("forwarding", view.isForwarding),
      isResolving: learn("name resolver", view.isResolving),
      isLeased: learn("lease", async () => (await holderOf(nic.address)) === vmId),
      takenAddress: taken,
      memAvailableMib: learn("memory", memAvailableMib),
      diskFreeMib: learn("disk", () => diskFreeMib(options.dataDir)),
      reach: learn("way to the guest", async () => {
        const [health, rfb] = await Promise.all([probes.health(), probes.rfb()]);
        return { health: health ?? "ok", rfb: rfb ?? "ok" };
      }),
    }),
    learn("VMM", async () => ({
      isAlive: process !== null && (await isAlive(process)),
      isStopped: process !== null && (await isStopped(process)),
    })),
    learn("control group", () => cgroupFacts(options.cgroup)),
    learn("VMM log", () => logWithItsEnd(options)),
    learn("the VMM's own word", async () => (process && (await isAlive(process)) ? options.machine() : undefined)),
    learn("iptables-legacy's rules", async () => refuseUnseen(await view.legacyTables())),
  ]);
  const exit = exitIn(log, vmm?.isAlive);
  return {
    vmm: {
      ...(vmm ?? { isStopped: false }),
      pid: process?.pid ?? null,
      ...(machine === undefined ? {} : { machine }),
      exit,
      end: endOf(exit, options.exitCodes),
      ...(cgroup ? { cgroup } : {}),
      logTail: tailOf(log),
    },
    ...known,
    ...(options.channel ? { channel: options.channel.traffic } : {}),
    load: { average: loadavg()[0] ?? 0, processors: availableParallelism() },
  };
};

/** Of a VMM that has just ended, whose parent tells of it a little later than those notice it who spoke to it, what it ended with too. */
const logWithItsEnd = async ({ vmmLog, process }: FactOptions): Promise<string> => {
  let log = "";
  const hasAll = async (): Promise<true | undefined> => {
    const isGone = process !== null && !(await isAlive(process));
    log = plainText((await readEnd(vmmLog, LOG_BYTES)) ?? "");
    return !isGone || exitIn(log) !== null || undefined;
  };
  const waited = { what: "the VMM's end in its log", timeoutMs: END_TOLD_MS, intervalMs: 50 };
  await poll(hasAll, waited).catch((error: unknown) => {
    // Nobody tells of one that ended while no controller ran.
    if (!isDeadline(error)) throw error;
  });
  return log;
};

/** All of it but what could not be learned. */
const whatIsKnown = async <T extends Record<string, Promise<unknown>>>(parts: T) => {
  const found = await Promise.all(Object.entries(parts).map(async ([name, part]) => [name, await part] as const));
  return Object.fromEntries(found.filter(([, value]) => value !== undefined)) as {
    [Name in keyof T]?: Exclude<Awaited<T[Name]>, undefined>;
  };
};

/** Address of another microVM that this guest has given itself. */
const takenBy = async (guest: GuestFacts, nic: GuestNic, holderOf: FactOptions["holderOf"]): Promise<string | null> => {
  for (const { address, link } of guest.addresses) {
    if (link === "lo" || address === nic.address || address.includes(":")) continue;
    if ((await holderOf(address)) !== undefined) return address;
  }
  return null;
};

/** What may drop a guest's packets and cannot be looked at is to be among what was not learned. */
const refuseUnseen = (tables: string[]): void => {
  if (tables.length > 0) throw new Error(`they can't be seen here; it has the tables ${tables.join(", ")}`);
};

const tailOf = (log: string): string[] =>
  log
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-LOG_TAIL_LINES)
    .map((line) => redactText(line).slice(0, 500));
