/** Where packages come from: the host's own archive, with the recipe's suite in place of the host's. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { unlessMissing } from "../lib/unless-missing.ts";

export interface AptSource {
  uri: string;
  suite: string;
  /** Path of a keyring on the host. A key written into the source itself counts as none. */
  keyring?: string;
}

export interface Distribution {
  id: string;
  codename: string;
}

const COMPONENTS: Record<string, string> = { debian: "main", ubuntu: "main universe" };

// Names that a host's sources may use instead of its codename.
const ALIASES = ["stable", "oldstable", "testing"];

/**
 * Lines in the form of sources.list for `base`: the host's archive, its updates and its security archive, as far as the host
 * has them. Empty when the host is of another distribution: mmdebstrap then uses the distribution's default.
 */
export const archiveLines = (base: Distribution, host: Distribution, sources: AptSource[]): string[] => {
  if (host.id !== base.id) return [];
  const suites = (suffix: string): string[] => [host.codename, ...ALIASES].map((name) => name + suffix);
  return ["", "-updates", "-security"].flatMap((suffix) => {
    const source = sources.find(({ suite }) => suites(suffix).includes(suite));
    if (!source) return [];
    const options = source.keyring ? `[signed-by=${source.keyring}] ` : "";
    return [`deb ${options}${source.uri} ${base.codename}${suffix} ${componentsOf(base.id)}`];
  });
};

export const componentsOf = (distribution: string): string => COMPONENTS[distribution] ?? "main";

/** The host's enabled binary sources from /etc/apt, in apt's own order. `root` is another root directory for tests. */
export const readHostSources = async (root = "/"): Promise<AptSource[]> => {
  const apt = join(root, "etc/apt");
  const names: string[] = await unlessMissing(readdir(join(apt, "sources.list.d")), []);
  const paths = [join(apt, "sources.list"), ...names.toSorted().map((name) => join(apt, "sources.list.d", name))];
  const found: AptSource[] = [];
  for (const path of paths) {
    const text = await unlessMissing(readFile(path, "utf8"), "");
    if (path.endsWith(".list")) found.push(...parseOneLine(text));
    if (path.endsWith(".sources")) found.push(...parseDeb822(text));
  }
  const resolved = await Promise.all(
    found.map(async (source) => ({ ...source, uri: await resolveMirrorList(root, source.uri) })),
  );
  return resolved.filter(({ uri }) => /^(https?|file):/.test(uri));
};

/** Id and codename from /etc/os-release. */
export const readHostDistribution = async (root = "/"): Promise<Distribution> => {
  const text = await readFile(join(root, "etc/os-release"), "utf8");
  const field = (name: string): string => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  return { id: field("ID"), codename: field("VERSION_CODENAME") };
};

/** `deb [options] uri suite component…`, man sources.list(5). */
export const parseOneLine = (text: string): AptSource[] =>
  text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+([^\s#]+)/.exec(line);
    if (!match) return [];
    const [, options = "", uri = "", suite = ""] = match;
    return [{ uri, suite, ...keyringFrom(/(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1]) }];
  });

/** Stanzas of `Field: value`, man sources.list(5). */
export const parseDeb822 = (text: string): AptSource[] =>
  text
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const field = (name: string): string =>
        new RegExp(`^${name}:[ \\t]*((?:.*)(?:\\n[ \\t].*)*)`, "im").exec(stanza)?.[1]?.trim() ?? "";
      const words = (name: string): string[] => field(name).split(/\s+/).filter(Boolean);
      if (!words("Types").includes("deb") || /^(no|false|0)$/i.test(field("Enabled"))) return [];
      const keyring = keyringFrom(words("Signed-By")[0]);
      return words("URIs").flatMap((uri) => words("Suites").map((suite) => ({ uri, suite, ...keyring })));
    });

const keyringFrom = (value: string | undefined): { keyring?: string } =>
  value?.startsWith("/") ? { keyring: value } : {};

/** Debian's cloud images point to a list of mirrors in a file; its first line will do. */
const resolveMirrorList = async (root: string, uri: string): Promise<string> => {
  const path = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(uri)?.[1];
  if (!path) return uri;
  const lines = (await unlessMissing(readFile(join(root, path), "utf8"), "")).split("\n");
  return lines.find((line) => /^https?:/.test(line))?.split(/\s/)[0] ?? "";
};
