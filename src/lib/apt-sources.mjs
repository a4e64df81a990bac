/**
 * What apt is configured with, man sources.list(5). Plain JavaScript for any Node, because set-up asks it before there are
 * packages; the image build asks it, too.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {object} AptSource an enabled source of binary packages
 * @property {string[]} uris
 * @property {string[]} suites
 * @property {string[]} components
 * @property {string} signedBy keyrings' paths, fingerprints, or a whole key; empty where the source names none
 */

/**
 * The host's, in apt's own order.
 * @param {string} [root] another root directory, for tests
 */
export const readAptSources = (root = "/") => {
  const apt = join(root, "etc/apt");
  const names = orIfMissing(() => readdirSync(join(apt, "sources.list.d")), []).sort();
  return ["sources.list", ...names.map((name) => join("sources.list.d", name))].flatMap((name) =>
    parseAptSources(
      name,
      orIfMissing(() => readFileSync(join(apt, name), "utf8"), ""),
    ),
  );
};

/**
 * /etc/os-release as an object.
 * @param {string} [root] another root directory, for tests
 */
export const readOsRelease = (root = "/") => parseOsRelease(readFileSync(join(root, "etc/os-release"), "utf8"));

/**
 * Values may be quoted.
 * @param {string} text
 * @returns {Record<string, string>}
 */
export const parseOsRelease = (text) =>
  Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm)].map(([, name = "", , value = ""]) => [name, value]),
  );

/**
 * Sources of one file, in the format that its name says; a file of another name is none of apt's.
 * @param {string} name
 * @param {string} text
 * @returns {AptSource[]}
 */
export const parseAptSources = (name, text) => {
  const lines = text.replace(/^#.*\n?/gm, "");
  if (name.endsWith(".list")) return lines.split("\n").flatMap(parseLine);
  return name.endsWith(".sources") ? lines.split(/\n[ \t]*\n/).flatMap(parseStanza) : [];
};

/**
 * `deb [options] uri suite component…`
 * @param {string} line
 * @returns {AptSource[]}
 */
const parseLine = (line) => {
  const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+([^\s#]+)([^#]*)/.exec(line);
  if (!match) return [];
  const [, options = "", uri = "", suite = "", components = ""] = match;
  const signedBy = /(?:^|\s)signed-by=(\S+)/i.exec(options)?.[1] ?? "";
  return [{ uris: [uri], suites: [suite], components: words(components), signedBy }];
};

/**
 * `Field: value`, where a value goes on in lines that begin with white space: an embedded key has many.
 * @param {string} stanza
 * @returns {AptSource[]}
 */
const parseStanza = (stanza) => {
  /** @param {string} name */
  const field = (name) => new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, "im").exec(stanza)?.[1]?.trim() ?? "";
  if (!words(field("Types")).includes("deb")) return [];
  if (/^(no|false|off|without|disable|0)$/i.test(field("Enabled"))) return [];
  return [
    {
      uris: words(field("URIs")),
      suites: words(field("Suites")),
      components: words(field("Components")),
      signedBy: field("Signed-By"),
    },
  ];
};

/** @param {string} text */
const words = (text) => text.split(/\s+/).filter(Boolean);

/**
 * @template T
 * @param {() => T} read
 * @param {T} instead
 */
const orIfMissing = (read, instead) => {
  try {
    return read();
  } catch (error) {
    // Newer installations have no sources.list.
    if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return instead;
    throw error;
  }
};
