/** What diagnosis asks the guest for first: what files tell of all that can keep it from being reachable. */
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { GuestMachine } from "../contract/diagnosis.ts";
import { messageOf } from "../lib/errors.ts";
import { listeningSockets, memory, overlayUsedPercent, uptimeSec, virtioDevices } from "./kernel-facts.ts";
import { addresses, links, networkdState, routes } from "./network-facts.ts";

export interface FactOptions {
  root: string;
  browser: () => Promise<GuestMachine["browser"]>;
  interfaces?: typeof networkInterfaces;
}

const CMDLINE_CHARS = 4096;
const MISSING_CHARS = 1000;
/** What the contract takes. `health` looks at all of them. */
const MAX_SOCKETS = 128;

export const machineFacts = async (options: FactOptions): Promise<GuestMachine> => {
  const { root, browser, interfaces = networkInterfaces } = options;
  const sources = { root, interfaces };
  const missing: string[] = [];
  const part = partsInto(missing);
  return {
    uptimeSec: await uptimeSec(root),
    cmdline: (await readFile(join(root, "proc/cmdline"), "utf8")).trim().slice(0, CMDLINE_CHARS),
    links: await part("links", [], () => links(sources)),
    virtioDevices: await part("devices", [], () => virtioDevices(sources)),
    addresses: await part("addresses", [], () => addresses(sources)),
    routes: await part("routes", [], () => routes(sources)),
    networkd: await part("networkd", null, () => networkdState(sources, "eth0")),
    listening: await part("sockets", [], async () => (await listeningSockets(sources)).slice(0, MAX_SOCKETS)),
    memory: await part("memory", { totalMib: 0, availableMib: 0, oomKills: 0 }, () => memory(sources)),
    overlayUsedPercent: await part("overlay", 0, () => overlayUsedPercent(sources)),
    browser: await browser(),
    missing,
  };
};

/** A part that cannot be learned is empty and told as missing; the rest still arrives. */
export const partsInto =
  (missing: string[]) =>
  async <T>(name: string, empty: T, learn: () => Promise<T>): Promise<T> => {
    try {
      return await learn();
    } catch (error) {
      missing.push(`${name}: ${messageOf(error)}`.slice(0, MISSING_CHARS));
      return empty;
    }
  };
