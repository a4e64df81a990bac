/** What a host must have, as data: what it is for, how to see it, which package brings it. Asked by file, not by package manager. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/**
 * `microvm`: run sessions. `image`: build images. `provider`: an identity provider of our own, for demo and tests.
 * `person`: a browser that plays the person, for tests and `demo --auto`.
 * @typedef {"microvm" | "image" | "provider" | "person"} Purpose
 */

/**
 * @typedef {object} Requirement
 * @property {string} package Debian's and Ubuntu's name
 * @property {string} why
 * @property {Purpose} purpose
 * @property {string[]} [programs] all of them, in PATH or an sbin folder
 * @property {string[]} [files]
 * @property {string} [atLeast] version that the first program's `--version` must print
 * @property {boolean} [isOldInBookworm] Debian 12's own is below `atLeast`: backports has the right one
 */

/** @type {Requirement[]} */
export const REQUIREMENTS = [
  {
    package: "qemu-system-x86",
    why: "runs the microVMs (8.2 or newer: older ones crash the guest's kernel under emulation)",
    purpose: "microvm",
    programs: ["qemu-system-x86_64"],
    files: ["/usr/share/qemu/qboot.rom"],
    atLeast: "8.2",
    isOldInBookworm: true,
  },
  { package: "iproute2", why: "makes the bridge and the TAPs", purpose: "microvm", programs: ["ip", "bridge"] },
  {
    package: "nftables",
    why: "keeps guests away from everything but the internet",
    purpose: "microvm",
    programs: ["nft"],
  },
  { package: "dnsmasq-base", why: "resolves names for guests", purpose: "microvm", programs: ["dnsmasq"] },
  {
    package: "util-linux",
    why: "takes rights and memory away from the VMM",
    purpose: "microvm",
    programs: ["setpriv", "prlimit"],
  },
  {
    package: "mmdebstrap",
    why: "builds the guest's file system",
    purpose: "image",
    programs: ["mmdebstrap"],
    atLeast: "1.4",
    isOldInBookworm: true,
  },
  { package: "gpg", why: "lets mmdebstrap find the archive's key", purpose: "image", programs: ["gpg"] },
  {
    package: "debian-archive-keyring",
    why: "proves that the guest's packages are Debian's",
    purpose: "image",
    files: ["/usr/share/keyrings/debian-archive-keyring.gpg"],
  },
  { package: "e2fsprogs", why: "makes the guest's disk image", purpose: "image", programs: ["mkfs.ext4"] },
  { package: "openssl", why: "makes the demo's certificates", purpose: "provider", programs: ["openssl"] },
  {
    package: "chromium",
    why: "plays the person in front of the viewer page",
    purpose: "person",
    programs: ["chromium"],
  },
];

/**
 * @typedef {object} Probe how to look at a machine; tests give their own
 * @property {(program: string) => string | undefined} find full path of a program
 * @property {(path: string) => boolean} exists
 * @property {(program: string) => string} version what it prints about itself
 */

/**
 * Requirements that this machine does not meet.
 * @param {Purpose[]} purposes
 * @param {Probe} [probe]
 */
export const missingRequirements = (purposes, probe = thisMachine) =>
  REQUIREMENTS.filter(({ purpose, programs = [], files = [], atLeast }) => {
    if (!purposes.includes(purpose)) return false;
    const paths = programs.map(probe.find);
    if (paths.includes(undefined) || !files.every(probe.exists)) return true;
    return atLeast !== undefined && !isAtLeast(probe.version(paths[0] ?? ""), atLeast);
  });

/**
 * Whether the first dotted number in a text is at least `wanted`, part by part.
 * @param {string} text
 * @param {string} wanted
 */
export const isAtLeast = (text, wanted) => {
  const found = (/\d+(?:\.\d+)+/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const parts = wanted.split(".").map(Number);
  const different = parts.findIndex((part, index) => part !== (found[index] ?? 0));
  return different === -1 || (found[different] ?? 0) > (parts[different] ?? 0);
};

/** @type {Probe} */
const thisMachine = {
  // A user's PATH on Debian leaves out the sbin folders, where half of these live.
  find: (program) =>
    [...(process.env.PATH ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"]
      .map((folder) => join(folder, program))
      .find((path) => existsSync(path)),
  exists: existsSync,
  version: (program) => spawnSync(program, ["--version"], { encoding: "utf8", timeout: 10_000 }).stdout ?? "",
};
