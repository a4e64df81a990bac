/** Links, addresses and routes, from files: starting a program takes seconds in a guest that is short of processors. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { GuestFacts } from "../contract/diagnosis.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { addressText, linkTarget, readText, valueOf, type Sources } from "./kernel-facts.ts";

/** `RTF_UP` and `RTF_GATEWAY` of linux/route.h. */
const ROUTE_UP = 1;
const ROUTE_GATEWAY = 2;
const NETWORK = "sys/class/net";

export const links = async ({ root }: Sources): Promise<GuestFacts["links"]> => {
  const names = await readdir(join(root, NETWORK));
  const found = names.slice(0, 32).map(async (name) => {
    const value = async (file: string): Promise<string> => (await readText(join(root, NETWORK, name, file))).trim();
    return {
      name,
      mac: await value("address"),
      driver: await linkTarget(join(root, NETWORK, name, "device/driver")),
      state: (await value("operstate")).toUpperCase(),
      hasCarrier: (await carrier(join(root, NETWORK, name, "carrier"))) === "1",
    };
  });
  return Promise.all(found);
};

/** networkd's own record of a link, which `networkctl` reads, too; null when networkd knows no such link. */
export const networkdState = async ({ root }: Sources, link: string): Promise<GuestFacts["networkd"]> => {
  const text = await networkdRecord(root, link);
  if (text === "") return null;
  const value = (key: string): string => valueOf(text, key).slice(0, 512);
  return { operational: value("OPER_STATE"), setup: value("ADMIN_STATE"), networkFile: value("NETWORK_FILE") };
};

/** With who set them: the .network file that names the address, `DHCP`, or `unknown`. Links without carrier are left out. */
export const addresses = async ({ root, interfaces }: Sources): Promise<GuestFacts["addresses"]> => {
  const found = Object.entries(interfaces()).flatMap(([link, infos = []]) =>
    infos.map(({ address, cidr }) => ({ link, address, prefixLength: Number(cidr?.split("/")[1] ?? 0) })),
  );
  return Promise.all(found.slice(0, 64).map(async (one) => ({ ...one, origin: await originOf(root, one) })));
};

export const routes = async ({ root }: Sources): Promise<GuestFacts["routes"]> =>
  (await readText(join(root, "proc/net/route")))
    .split("\n")
    .slice(1)
    .map((line) => line.split("\t"))
    .filter(([, , , flags = "0"]) => (Number.parseInt(flags, 16) & ROUTE_UP) !== 0)
    .slice(0, 64)
    .map(([link = "", destination = "", gateway = "", flags = "0", , , , mask = ""]) => ({
      destination: destinationText(destination, mask),
      gateway: (Number.parseInt(flags, 16) & ROUTE_GATEWAY) === 0 ? "" : addressText(gateway),
      link,
    }));

const destinationText = (destination: string, mask: string): string => {
  const ones = Number.parseInt(mask, 16).toString(2).replaceAll("0", "").length;
  return ones === 0 ? "default" : `${addressText(destination)}/${ones}`;
};

const originOf = async (root: string, { link, address }: { link: string; address: string }): Promise<string> => {
  const record = await networkdRecord(root, link);
  const file = valueOf(record, "NETWORK_FILE");
  if (file.startsWith("/") && (await readText(join(root, file))).includes(`=${address}/`)) return file;
  const index = await indexOf(root, link);
  const lease = index === "" ? "" : await readText(join(root, "run/systemd/netif/leases", index));
  return valueOf(lease, "ADDRESS") === address ? "DHCP" : link === "lo" ? "kernel" : "unknown";
};

const networkdRecord = async (root: string, link: string): Promise<string> => {
  const index = await indexOf(root, link);
  return index === "" ? "" : readText(join(root, "run/systemd/netif/links", index));
};

const indexOf = async (root: string, link: string): Promise<string> =>
  (await readText(join(root, NETWORK, link, "ifindex"))).trim();

/** The kernel answers EINVAL for a link that is down. */
const carrier = async (path: string): Promise<string> =>
  (await unlessMissing(readFile(path, "utf8"), "0", ["EINVAL", "ENOENT"])).trim();
