/** What diagnosis asks the guest for: its view of the network, and the end of its journal. */
import { readFile, readlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { MAX_LINE_BYTES, type GuestResult } from "../contract/guest.ts";
import { errnoOf, messageOf } from "../lib/errors.ts";
import type { run } from "../lib/exec.ts";

export interface ReportOptions {
  root: string;
  runProgram: typeof run;
}

export interface Report {
  network(): Promise<GuestResult<"network">>;
  journal(lines: number, unit?: string): Promise<GuestResult<"journal">>;
}

const PROGRAM_TIMEOUT_MS = 20_000;
const NETWORKCTL_CHARS = 16_384;
const CMDLINE_CHARS = 4096;
const JOURNAL_CHARS = 200_000;
/** Leaves room in the line for the rest of the answer. */
const JOURNAL_JSON_BYTES = MAX_LINE_BYTES - 1024;

/** `ip -json address`, as far as it is used; iproute2 leaves out what does not apply. */
const ipLinks = z.array(
  z.object({
    ifname: z.string(),
    address: z.string().default(""),
    operstate: z.string().default(""),
    flags: z.array(z.string()).default([]),
    mtu: z.int().default(0),
    addr_info: z
      .array(
        z.object({
          local: z.string(),
          prefixlen: z.int(),
          protocol: z.string().optional(),
          dynamic: z.boolean().default(false),
        }),
      )
      .default([]),
  }),
);

/** `ip -json route`. */
const ipRoutes = z.array(
  z.object({
    dst: z.string(),
    gateway: z.string().default(""),
    dev: z.string().default(""),
    protocol: z.string().default(""),
  }),
);

export const createReport = ({ root, runProgram }: ReportOptions): Report => {
  const output = async (file: string, args: string[]): Promise<string> =>
    (await runProgram(file, args, { timeoutMs: PROGRAM_TIMEOUT_MS })).stdout;

  const driverOf = async (link: string): Promise<string> => {
    try {
      return basename(await readlink(join(root, "sys/class/net", link, "device/driver")));
    } catch (error) {
      // Loopback and other links without a device.
      if (errnoOf(error) === "ENOENT") return "";
      throw error;
    }
  };

  const network = async (): Promise<GuestResult<"network">> => {
    const [linksJson, routesJson, networkctl, cmdline] = await Promise.all([
      output("ip", ["-json", "address"]),
      output("ip", ["-json", "route"]),
      // Its failing (networkd dead, no such link) is what diagnosis is after: the reason is the report.
      output("networkctl", ["status", "eth0", "--no-pager", "--lines=10"]).catch(messageOf),
      readFile(join(root, "proc/cmdline"), "utf8"),
    ]);
    const links = ipLinks.parse(JSON.parse(linksJson)).slice(0, 32);
    const routes = ipRoutes.parse(JSON.parse(routesJson)).slice(0, 64);
    return {
      links: await Promise.all(
        links.map(async ({ ifname, address, operstate, flags, mtu }) => ({
          name: ifname,
          mac: address,
          driver: await driverOf(ifname),
          state: operstate,
          hasCarrier: flags.includes("LOWER_UP"),
          mtu,
        })),
      ),
      addresses: links
        .flatMap(({ ifname, addr_info }) =>
          addr_info.map(({ local, prefixlen, protocol, dynamic }) => ({
            link: ifname,
            address: local,
            prefixLength: prefixlen,
            origin: protocol ?? (dynamic ? "dynamic" : "static"),
          })),
        )
        .slice(0, 64),
      routes: routes.map(({ dst, gateway, dev, protocol }) => ({
        destination: dst,
        gateway,
        link: dev,
        origin: protocol,
      })),
      networkctl: printable(networkctl).slice(0, NETWORKCTL_CHARS),
      cmdline: cmdline.trim().slice(0, CMDLINE_CHARS),
    };
  };

  const journal: Report["journal"] = async (lines, unit) => {
    const args = ["--no-pager", "--output=short-monotonic", `--lines=${lines}`, ...(unit ? [`--unit=${unit}`] : [])];
    return { text: endThatFits(printable(await output("journalctl", args))) };
  };

  return { network, journal };
};

/** Without control characters: each would be six bytes in JSON, and some drive terminals. */
const printable = (text: string): string => text.replace(/[^\P{Cc}\n\t]/gu, "");

/** The newest part that fits, counted as JSON, where a quote takes two bytes and many a letter three. */
const endThatFits = (text: string): string => {
  let end = text.slice(-JOURNAL_CHARS);
  while (Buffer.byteLength(JSON.stringify(end)) > JOURNAL_JSON_BYTES) end = end.slice(Math.ceil(end.length / 8));
  return end;
};
