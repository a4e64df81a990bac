/** Where packages come from: the host's own archive, with the recipe's suite in place of the host's. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readAptSources, readOsRelease, type AptSource } from "../lib/apt-sources.mjs";
import { unlessMissing } from "../lib/unless-missing.ts";

export type Distribution = ReturnType<typeof hostDistribution>;

const COMPONENTS: Record<string, string> = { debian: "main", ubuntu: "main universe" };

// Names that a host's sources may use instead of its codename.
const ALIASES = ["stable", "oldstable", "testing"];

/**
 * Lines in the form of sources.list for `base`: the host's archive, its updates and its security archive, as far as the host
 * has them. Empty when the host is of another distribution: mmdebstrap then uses the distribution's default.
 */
export const archiveLines = (base: Distribution, host: Distribution, sources: AptSource[]): string[] => {
  if (host.id !== base.id) return [];
  const names = [host.codename, ...ALIASES];
  return ["", "-updates", "-security"].flatMap((suffix) => {
    const source = sources.find(({ suites }) => names.some((name) => suites.includes(name + suffix)));
    if (!source) return [];
    // Only a keyring's path fits into such a line: a key written into the source itself counts as none.
    const keyring = source.signedBy.split(/\s/)[0] ?? "";
    const options = keyring.startsWith("/") ? `[signed-by=${keyring}] ` : "";
    return [`deb ${options}${source.uris[0]} ${base.codename}${suffix} ${componentsOf(base.id)}`];
  });
};

export const componentsOf = (distribution: string): string => COMPONENTS[distribution] ?? "main";

/** The host's sources that a build can use, each with one URI at least. `root` is another root directory for tests. */
export const usableSources = async (root = "/"): Promise<AptSource[]> => {
  const resolved = await Promise.all(
    readAptSources(root).map(async (source) => ({
      ...source,
      uris: (await Promise.all(source.uris.map((uri) => resolveMirrorList(root, uri)))).filter((uri) =>
        /^(https?|file):/.test(uri),
      ),
    })),
  );
  return resolved.filter(({ uris }) => uris.length > 0);
};

export const hostDistribution = (root = "/") => {
  const { ID = "", VERSION_CODENAME = "" } = readOsRelease(root);
  return { id: ID, codename: VERSION_CODENAME };
};

/** Debian's cloud images point to a list of mirrors in a file; its first line will do. */
const resolveMirrorList = async (root: string, uri: string): Promise<string> => {
  const path = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(uri)?.[1];
  if (!path) return uri;
  const lines = (await unlessMissing(readFile(join(root, path), "utf8"), "")).split("\n");
  return lines.find((line) => /^https?:/.test(line))?.split(/\s/)[0] ?? "";
};
