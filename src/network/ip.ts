/** The programs `ip` and `bridge`: what this network namespace has, asked at once and parsed here alone, and changes, many at once. */
import { stat } from "node:fs/promises";
import { z } from "zod";
import { AppError } from "../lib/errors.ts";
import type { RunResult } from "../lib/exec.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { runTool, TIMEOUT_MS, unlessSaid } from "./tool.ts";

const packets = z.object({ packets: z.number() });
const link = z.object({
  ifname: z.string(),
  flags: z.array(z.string()),
  address: z.string().optional(),
  ifalias: z.string().optional(),
  master: z.string().optional(),
  inet6_addr_gen_mode: z.string().optional(),
  linkinfo: z
    .object({
      info_kind: z.string().optional(),
      /** Of a bridge's port: its options. */
      info_slave_data: z.record(z.string(), z.unknown()).optional(),
    })
    .optional(),
  stats64: z.object({ rx: packets, tx: packets }).optional(),
});
const addressed = z.object({
  ifname: z.string(),
  addr_info: z.array(z.object({ family: z.string(), local: z.string(), prefixlen: z.int() }).partial()),
});
const neighbour = z.object({
  dst: z.string(),
  dev: z.string(),
  lladdr: z.string().optional(),
  state: z.array(z.string()),
});
const route = z.object({ dst: z.string(), dev: z.string().optional() });
const tun = z.object({ ifname: z.string(), flags: z.array(z.string()), user: z.int().optional() });
const forwardingEntry = z.object({
  mac: z.string(),
  ifname: z.string(),
  master: z.string().optional(),
  state: z.string().optional(),
  vlan: z.int().optional(),
});

type Tun = z.infer<typeof tun>;
export type Link = z.infer<typeof link>;
export type ForwardingEntry = z.infer<typeof forwardingEntry>;

export type HostLinks = Awaited<ReturnType<typeof readLinks>>;

/** Everything but the bridge's forwarding table; one program, however many links there are. */
export const readLinks = async (timeoutMs = TIMEOUT_MS) => {
  const input = "link show\naddress show type bridge\nroute show\nneigh show\n";
  const { stdout } = await whole(() => runTool("ip", ["-j", "-d", "-s", "-batch", "-"], { input, timeoutMs }));
  // One array a line and question; some versions have no line for an empty answer. So told apart by what is in them.
  const entries = stdout.split("\n").flatMap(parseArray);
  const having = (...keys: string[]) => entries.filter((entry) => keys.every((key) => key in entry));
  const addresses = z.array(addressed).parse(having("addr_info"));
  return {
    links: z.array(link).parse(having("ifname").filter((entry) => !("addr_info" in entry))),
    /** IPv4 addresses of bridges, `address/prefixLength`. */
    bridgeAddresses: addresses.flatMap(({ ifname, addr_info: all }) =>
      all
        .filter(({ family, local }) => family === "inet" && local !== undefined)
        .map(({ local, prefixlen }) => ({ ifname, address: `${local}/${prefixlen}` })),
    ),
    /** IPv4, of the main table. */
    routes: z.array(route).parse(having("dst").filter((entry) => !("state" in entry))),
    neighbours: z.array(neighbour).parse(having("dst", "state")),
  };
};

/** Which MAC is behind which port; empty where there is no such bridge. */
export const readForwarding = (bridge: string, timeoutMs = TIMEOUT_MS): Promise<ForwardingEntry[]> =>
  list(forwardingEntry, "bridge", ["-j", "fdb", "show", "br", bridge], timeoutMs);

/** Told by the kernel, without a program. */
export const linkExists = async (name: string): Promise<boolean> =>
  (await unlessMissing(stat(`/proc/sys/net/ipv4/conf/${name}`), undefined)) !== undefined;

export const findLink = async (name: string): Promise<Link | undefined> =>
  (await list(link, "ip", ["-j", "-d", "link", "show", "dev", name])).at(0);

/** `user`: number of who may open it; undefined where anyone with the right may. `netns`: name of another namespace to look in. */
export const findTap = async (
  name: string,
  netns?: string,
  timeoutMs?: number,
): Promise<Pick<Tun, "user"> | undefined> => {
  const where = netns === undefined ? [] : ["-netns", netns];
  const found = await list(tun, "ip", [...where, "-j", "tuntap", "show"], timeoutMs);
  return found.find(({ ifname, flags }) => ifname === name && flags.includes("tap"));
};

/** Commands of one program, a line each; the first that fails is the last. Throws AppError `command-failed`. */
export const change = async (tool: "ip" | "bridge", lines: string[]): Promise<void> => {
  if (lines.length > 0) await runTool(tool, ["-batch", "-"], { input: `${lines.join("\n")}\n` });
};

/** Commands of `ip` that take something away, each of which may be gone already. */
export const takeAway = async (...lines: string[]): Promise<void> => {
  const input = `${lines.join("\n")}\n`;
  const { stderr } = await runTool("ip", ["-force", "-batch", "-"], { input, okCodes: [1, 2] });
  const refused = stderr
    .split("\n")
    .filter((line) => line && !line.startsWith("Command failed ") && !ABSENCE.test(line) && !line.startsWith(CHANGED));
  if (refused.length === 0) return;
  throw new AppError("internal", "command-failed", `ip could not remove what it should: ${refused.join("; ")}`, {
    context: { lines },
  });
};

/** A word in a batch: blanks, quotes and `#` would mean something there. */
export const asWord = (text: string): string =>
  text.replaceAll(/[^\w./:@+=,-]/g, (character) => `%${character.codePointAt(0)?.toString(16)}`);

/** Of `ip`, on standard error, where others changed what it was listing: something may be missing in what it says. */
const CHANGED = "Dump was interrupted";
const MAX_LISTINGS = 5;

/** A listing that nobody changed meanwhile; of a host where that never comes, the last one. */
const whole = async (ask: () => Promise<RunResult>): Promise<RunResult> => {
  for (let asked = 1; ; asked++) {
    const result = await ask();
    if (!result.stderr.includes(CHANGED) || asked === MAX_LISTINGS) return result;
  }
};

const list = async <T>(shape: z.ZodType<T>, tool: "ip" | "bridge", args: string[], timeoutMs = TIMEOUT_MS) => {
  const { stdout } = await unlessSaid(
    ABSENCE,
    whole(() => runTool(tool, args, { timeoutMs })),
    { stdout: "" },
  );
  return z.array(shape).parse(parseArray(stdout));
};

/** Some versions print nothing, others an array with empty objects, for what a filter leaves out. */
const parseArray = (text: string): Record<string, unknown>[] =>
  z
    .array(z.record(z.string(), z.unknown()))
    .parse(JSON.parse(text.trim() || "[]"))
    .filter((entry) => Object.keys(entry).length > 0);

const ABSENCE = /does not exist|Cannot find (?:bridge )?device|No such (?:process|file|device)/;
