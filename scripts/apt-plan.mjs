/** Pure: which apt-get calls bring what is missing on which distribution, from the sources the machine already has. */
import { Refusal } from "./refusal.mjs";

/** @typedef {import("../src/lib/apt-sources.mjs").AptSource} AptSource */

/**
 * @typedef {object} AptPlan
 * @property {{ path: string, text: string } | undefined} source file to write first
 * @property {string[][]} calls arguments of `apt-get`, in order
 */

const INSTALL = ["install", "--yes", "--no-install-recommends"];
const BACKPORTS_FILE = "/etc/apt/sources.list.d/sallyport-backports.sources";

/**
 * @param {import("../src/lib/host-packages.mjs").Requirement[]} missing at least one
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
 * @param {import("../src/lib/host-packages.mjs").Requirement[]} missing
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
  if (sources.some(({ suites }) => suites.includes("bookworm-backports"))) return undefined;
  const main = sources.find(({ suites, components }) => suites.includes("bookworm") && components.includes("main"));
  if (!main) {
    throw new Refusal(
      "Debian 12 has QEMU 7.2, which is too old, and no apt source for bookworm was found to derive its backports from.",
      "Add an apt source for bookworm-backports, then try again.",
    );
  }
  const text = [
    "# Written by Sallyport's set-up: Debian 12's own QEMU and mmdebstrap are too old. Safe to remove later.",
    "Types: deb",
    `URIs: ${main.uris[0]}`,
    "Suites: bookworm-backports",
    "Components: main",
    ...(main.signedBy ? [`Signed-By: ${main.signedBy}`] : []),
  ].join("\n");
  return { path: BACKPORTS_FILE, text: `${text}\n` };
};
