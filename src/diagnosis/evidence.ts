/** What is kept of a microVM before it is destroyed: bounded, without secrets, readable long after. */
import { copyFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { GuestChannel } from "../channel/channel.ts";
import type { StageRecord, Verdict } from "../contract/session.ts";
import { errnoOf, messageOf } from "../lib/errors.ts";
import { run } from "../lib/exec.ts";
import type { DataPaths } from "../lib/paths.ts";
import { boundConsole } from "../vmm/console.ts";

export interface EvidenceInput {
  sessionId: string;
  vmId: string;
  tap: string;
  address: string;
  stages: StageRecord[];
  verdict: Verdict | null;
  /** Asked for the guest's own view when it still answers. */
  channel: GuestChannel | undefined;
}

const FACT_TIMEOUT_MS = 3000;

/** Writes `<data>/evidence/<session>/`: console.log, vmm.log, facts.json. */
export const keepEvidence = async (paths: DataPaths, input: EvidenceInput): Promise<void> => {
  const folder = paths.evidence(input.sessionId);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const vm = paths.vm(input.vmId);
  await boundConsole(vm.console);
  await copyIfThere(vm.console, join(folder, "console.log"));
  await copyIfThere(vm.vmmLog, join(folder, "vmm.log"));
  const facts = {
    stages: input.stages,
    verdict: input.verdict,
    host: input.verdict ? await hostFacts(input) : undefined,
    guest: input.verdict ? await guestFacts(input.channel) : undefined,
  };
  await writeFile(join(folder, "facts.json"), JSON.stringify(facts, undefined, 2), { mode: 0o600 });
};

/** The kept console, or undefined. */
export const readKeptConsole = async (paths: DataPaths, sessionId: string): Promise<Buffer | undefined> =>
  readIfThere(join(paths.evidence(sessionId), "console.log"));

export const readFacts = async (paths: DataPaths, sessionId: string): Promise<unknown> => {
  const text = await readIfThere(join(paths.evidence(sessionId), "facts.json"));
  return text && (JSON.parse(text.toString()) as unknown);
};

/** Removes what is older than `keepDays`. Returns the folders removed. */
export const pruneEvidence = async (paths: DataPaths, keepDays: number): Promise<string[]> => {
  const root = join(paths.root, "evidence");
  const oldest = Date.now() - keepDays * 86_400_000;
  const removed: string[] = [];
  for (const name of await readdir(root).catch(emptyWhenMissing)) {
    const folder = join(root, name);
    if ((await stat(folder)).mtimeMs >= oldest) continue;
    await rm(folder, { recursive: true, force: true });
    removed.push(name);
  }
  return removed;
};

/** Lines for a verdict that show the guest's own view of its network, or why there is none. */
export const guestNetworkLines = async (channel: GuestChannel): Promise<string[]> => {
  try {
    const report = await channel.call("network", {}, { timeoutMs: FACT_TIMEOUT_MS });
    return [
      ...report.addresses.map((a) => `guest address: ${a.link} ${a.address}/${a.prefixLength} (${a.origin})`),
      ...report.networkctl
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => /^(State|Network File|Online state|Setup|.*degraded|.*configuring)/i.test(line))
        .map((line) => `networkctl: ${line}`),
    ];
  } catch (error) {
    return [`the guest's own view is missing: ${messageOf(error)}`];
  }
};

const hostFacts = async (input: EvidenceInput): Promise<Record<string, unknown>> => {
  const ask = async (file: string, args: string[]): Promise<unknown> => {
    try {
      return JSON.parse((await run(file, args, { timeoutMs: FACT_TIMEOUT_MS })).stdout || "null");
    } catch (error) {
      return { error: messageOf(error) };
    }
  };
  const [tap, port, neighbour] = await Promise.all([
    ask("ip", ["-j", "-s", "link", "show", "dev", input.tap]),
    ask("bridge", ["-j", "-d", "link", "show", "dev", input.tap]),
    ask("ip", ["-j", "neigh", "show", "to", input.address]),
  ]);
  return { tap, port, neighbour };
};

const guestFacts = async (channel: GuestChannel | undefined): Promise<unknown> => {
  if (!channel) return { error: "the channel was not open" };
  try {
    return await channel.call("network", {}, { timeoutMs: FACT_TIMEOUT_MS });
  } catch (error) {
    return { error: messageOf(error) };
  }
};

const copyIfThere = async (from: string, to: string): Promise<void> => {
  try {
    await copyFile(from, to);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
};

const readIfThere = async (file: string): Promise<Buffer | undefined> => {
  try {
    return await readFile(file);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
};

const emptyWhenMissing = (error: unknown): string[] => {
  if (errnoOf(error) === "ENOENT") return [];
  throw error;
};
