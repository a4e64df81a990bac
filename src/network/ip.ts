/** The program `ip`: links, addresses, routes and neighbours of this network namespace. */
import { z } from "zod";
import { AppError } from "../lib/errors.ts";
import { runTool } from "./tool.ts";

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
});
export type Link = z.infer<typeof link>;

const addressed = z.object({ addr_info: z.array(z.object({ local: z.string(), prefixlen: z.int() }).partial()) });
const route = z.object({ dst: z.string(), dev: z.string().optional() });
const neighbour = z.object({ dst: z.string(), lladdr: z.string().optional(), state: z.array(z.string()) });
const tap = z.object({ ifname: z.string(), flags: z.array(z.string()), user: z.int().optional() });

export const ip = async (...args: string[]): Promise<void> => {
  await runTool("ip", args);
};

/** As `ip`, where the object that is to go may be gone already. */
export const ipRemove = async (...args: string[]): Promise<void> => {
  try {
    await runTool("ip", args);
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
};

export const findLink = async (name: string): Promise<Link | undefined> =>
  (await list(link, "-d", "link", "show", "dev", name)).at(0);

export const tunLinks = (): Promise<Link[]> => list(link, "-d", "link", "show", "type", "tun");

/** `address/prefixLength` of each IPv4 address of the link. */
export const addressesOf = async (name: string): Promise<string[]> =>
  (await list(addressed, "-4", "address", "show", "dev", name)).flatMap((entry) =>
    entry.addr_info.filter((info) => info.local).map((info) => `${info.local}/${info.prefixlen}`),
  );

export const routes = () => list(route, "-4", "route", "show");

export const neighboursOn = (name: string) => list(neighbour, "neigh", "show", "dev", name);

/** User number that may open the TAP; undefined when there is no such TAP or anyone with the right may. */
export const tapOwner = async (name: string): Promise<number | undefined> =>
  (await list(tap, "tuntap", "show")).find((entry) => entry.ifname === name && entry.flags.includes("tap"))?.user;

/** Parsed output of a query; empty where the device does not exist. */
const list = async <T>(shape: z.ZodType<T>, ...args: string[]): Promise<T[]> => {
  try {
    const { stdout } = await runTool("ip", ["-j", ...args]);
    // Some versions print nothing, others an array with empty objects, for what a filter leaves out.
    const entries = z.array(z.record(z.string(), z.unknown())).parse(JSON.parse(stdout.trim() || "[]"));
    return z.array(shape).parse(entries.filter((entry) => Object.keys(entry).length > 0));
  } catch (error) {
    if (isAbsence(error)) return [];
    throw error;
  }
};

const isAbsence = (error: unknown): boolean =>
  error instanceof AppError && /does not exist|Cannot find device|No such (process|file|device)/.test(error.message);
