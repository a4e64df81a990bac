/** Pure: which apt-get calls bring what is missing on which distribution, from the sources the machine already has. */
import { Refusal } from "./refusal.mjs";

/** @typedef {{ types: string, uris: string, suites: string, components: string, signedBy: string, isEnabled: boolean }} AptSource */

/**
 * @typedef {object} AptPlan
 * @property {{ path: string, text: string } | undefined} source file to write first
 * @property {string[][]} calls arguments of `apt-get`, in order
 */

const INSTALL = ["install", "--yes", "--no-install-recommends"];
const BACKPORTS_FILE = "/etc/apt/sources.list.d/sallyport-backports.sources";

/**
 * @param {import("./system-requirements.mjs").Requirement[]} missing at least one
 * @param {Record<string, string>} osRelease
 * @param {AptSource[]} sources
 * @returns {AptPlan}
 */
export const planInstallation = (missing, osRelease, sources) => {
  const { ID: id, VERSION_CODENAME: codename = "" } = osRelease;
  refuseUnknown(osRelease, missing);
  const isBookworm = id === "debian" && codename === "bookworm";
  const old = missing.filter((requirement) => isBookworm && requirement.isOldInBookworm);
  const own = missing.filter((requirement) => !old.includes(requirement));
  return {
    source: old.length > 0 ? backportsSource(sources) : undefined,
    calls: [
      ["update"],
      ...(own.length > 0 ? [[...INSTALL, ...own.map((one) => one.package)]] : []),
      ...(old.length > 0
        ? [[...INSTALL, "--target-release", "bookworm-backports", ...old.map((one) => one.package)]]
        : []),
    ],
  };
};

/**
 * Debian 12, 13 and what follows, Ubuntu 24.04 and what follows (the first with QEMU 8.2; written by its package lists,
 * not tried). A testing or unstable Debian has no VERSION_ID.
 * @param {Record<string, string>} osRelease
 * @param {import("./system-requirements.mjs").Requirement[]} missing
 */
const refuseUnknown = ({ ID: id, VERSION_ID: version, PRETTY_NAME: title = "this system" }, missing) => {
  const oldest = { debian: 12, ubuntu: 24.04 }[id ?? ""];
  if (oldest !== undefined && (version === undefined || Number(version) >= oldest)) return;
  throw new Refusal(
    `Sallyport installs what it needs on Debian 12 or newer and Ubuntu 24.04 or newer; this is ${title}.`,
    `Use one of those, or install yourself what is missing: ${missing
      .map((one) => (one.atLeast ? `${one.package} ${one.atLeast} or newer` : one.package))
      .join(", ")}.`,
  );
};

/**
 * Backports from the very archive the machine already uses, or nothing when they are configured.
 * @param {AptSource[]} sources
 */
const backportsSource = (sources) => {
  const enabled = sources.filter((source) => source.isEnabled && words(source.types).includes("deb"));
  if (enabled.some((source) => words(source.suites).includes("bookworm-backports"))) return undefined;
  const main = enabled.find(
    (source) => words(source.suites).includes("bookworm") && words(source.components).includes("main"),
  );
  if (!main) {
    throw new Refusal(
      "Debian 12 has QEMU 7.2, which is too old, and no apt source for bookworm was found to derive its backports from.",
      "Add an apt source for bookworm-backports, then try again.",
    );
  }
  const text = [
    "# Written by Sallyport's set-up: Debian 12's own QEMU and mmdebstrap are too old. Safe to remove later.",
    "Types: deb",
    `URIs: ${words(main.uris)[0]}`,
    "Suites: bookworm-backports",
    "Components: main",
    ...(main.signedBy ? [`Signed-By: ${main.signedBy}`] : []),
  ].join("\n");
  return { path: BACKPORTS_FILE, text: `${text}\n` };
};

/**
 * Sources of one file, in either of apt's formats (sources.list(5)).
 * @param {string} fileName
 * @param {string} text
 * @returns {AptSource[]}
 */
export const parseAptSources = (fileName, text) =>
  fileName.endsWith(".sources")
    ? withoutComments(text)
        .split(/\n{2,}/)
        .filter((stanza) => stanza.trim())
        .map(parseStanza)
    : withoutComments(text).split("\n").flatMap(parseLine);

/** @param {string} text */
const withoutComments = (text) => text.replace(/^#.*\n?/gm, "");

/**
 * @param {string} stanza
 * @returns {AptSource}
 */
const parseStanza = (stanza) => {
  // A value goes on in lines that begin with white space: an embedded key has many.
  const fields = new Map(
    stanza
      .trim()
      .split(/\n(?!\s)/)
      .map((field) => {
        const [name = "", ...value] = field.split(":");
        return [name.trim().toLowerCase(), value.join(":").trim()];
      }),
  );
  return {
    types: fields.get("types") ?? "",
    uris: fields.get("uris") ?? "",
    suites: fields.get("suites") ?? "",
    components: fields.get("components") ?? "",
    signedBy: fields.get("signed-by") ?? "",
    isEnabled: !/^(no|false|off|without|disable)$/i.test(fields.get("enabled") ?? "yes"),
  };
};

/**
 * @param {string} line
 * @returns {AptSource[]}
 */
const parseLine = (line) => {
  const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
  if (!match) return [];
  const [, types = "", options = "", uris = "", suites = "", components = ""] = match;
  const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(options)?.[1] ?? "";
  return [{ types, uris, suites, components, signedBy, isEnabled: true }];
};

/**
 * /etc/os-release as an object: values may be quoted.
 * @param {string} text
 * @returns {Record<string, string>}
 */
export const parseOsRelease = (text) =>
  Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm)].map(([, name = "", , value = ""]) => [name, value]),
  );

/** @param {string} text */
const words = (text) => text.split(/\s+/).filter(Boolean);
