/**
 * A microVM's own network namespace: its VMM finds the TAP there by name and opens it, and nothing else is in it. When the TAP has gone
 * to the bridge, open as it is, the name goes, too: the namespace lives on, empty, for as long as the VMM does. So an escaped VMM
 * has no interface, no neighbour and no abstract socket of the host's, and the host's side of the TAP costs what it always did.
 */
import { createHash } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { TAP_PREFIX } from "../lib/id.ts";
import { unlessMissing } from "../lib/unless-missing.ts";
import { findTap, takeAway } from "./ip.ts";
import { runTool, unlessSaid } from "./tool.ts";

/** Where `ip netns` keeps the names. */
const FOLDER = "/run/netns";

/** `owner`: as on the bridge; names of two controllers on one host are told apart by it. */
export const namespaceOf = (tap: string, owner: string): string => `${tap}.${suffixOf(owner)}`;

export const namespaceFile = (name: string): string => join(FOLDER, name);

const suffixOf = (owner: string): string => createHash("sha256").update(owner).digest("hex").slice(0, 8);

const tapIn = (name: string): string => name.slice(0, name.lastIndexOf("."));

export const namespaceExists = async (name: string): Promise<boolean> =>
  (await unlessMissing(stat(namespaceFile(name)), undefined)) !== undefined;

/** Those of this controller, with the microVM they were made for. */
export const ourNamespaces = async (owner: string): Promise<{ name: string; vmId: string }[]> =>
  (await unlessMissing(readdir(FOLDER), [])).flatMap((name) => {
    const tap = tapIn(name);
    return tap.startsWith(TAP_PREFIX) && name === namespaceOf(tap, owner)
      ? [{ name, vmId: tap.slice(TAP_PREFIX.length) }]
      : [];
  });

/** The TAP of that microVM, while it is in there; undefined: it is not, or there is no such namespace. */
export const tapWithin = async (name: string, timeoutMs?: number): ReturnType<typeof findTap> =>
  (await namespaceExists(name)) ? unlessSaid(NO_TAP, findTap(tapIn(name), name, timeoutMs), undefined) : undefined;

/** Commands of `ip`, run in the namespace. */
export const changeIn = async (name: string, lines: string[]): Promise<void> => {
  await runTool("ip", ["-netns", name, "-batch", "-"], { input: `${lines.join("\n")}\n` });
};

/**
 * Takes the name away, and before it the TAP that may be in there still: any local user may have the file open, with which the
 * namespace would live on and the TAP in it where nobody finds it. Idempotent.
 */
export const removeNamespace = async (name: string): Promise<void> => {
  if (!(await namespaceExists(name))) return;
  await unlessSaid(NO_TAP, runTool("ip", ["-netns", name, "link", "delete", "dev", tapIn(name)]), undefined);
  await takeAway(`netns delete ${name}`);
};

/** It left, the name did meanwhile, or the name is of no namespace: whoever made it came no further. */
const NO_TAP = /Cannot find device|Cannot open network namespace|setting the network namespace .*: Invalid argument/;
