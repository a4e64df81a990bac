/**
 * What a host must have: what it is for, how to see it, which package brings it. Asked by file, not by package manager.
 * Plain JavaScript for any Node, because set-up asks it before there are packages; `doctor` and the image build ask it, too.
 */
import { isAtLeast } from "./versions.mjs";

/**
 * `vmm`: QEMU, which `doctor` looks at more closely. `jail`: what every VMM is started with, from the system's own folders. `microvm`:
 * what running sessions needs besides. `image`: build images;
 * `debian`, `ubuntu`: of that distribution. `provider`: an identity provider of our own, for demo and tests. `person`: a
 * browser that plays the person, for tests and `demo --auto`.
 * @typedef {"vmm" | "jail" | "microvm" | "image" | "debian" | "ubuntu" | "provider" | "person"} Purpose
 */

/**
 * @typedef {object} Requirement
 * @property {string} package Debian's and Ubuntu's name
 * @property {string} why the rest of a sentence that begins with "it"
 * @property {Purpose} purpose
 * @property {string[]} [programs] all of them
 * @property {string[]} [files]
 * @property {string} [atLeast] version that the first program's `--version` must print
 * @property {boolean} [isOldInBookworm] Debian 12's own is below `atLeast`: backports has the right one
 */

/** @type {Requirement[]} */
export const REQUIREMENTS = [
  {
    package: "qemu-system-x86",
    why: "runs the microVMs (8.2 or newer: older ones crash the guest's kernel under emulation)",
    purpose: "vmm",
    // The only one that is run: src/vmm/qemu/arguments.ts.
    programs: ["/usr/bin/qemu-system-x86_64"],
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
    purpose: "jail",
    programs: ["setpriv", "prlimit", "nsenter"],
  },
  { package: "dash", why: "puts the VMM into its control group", purpose: "jail", programs: ["sh"] },
  { package: "coreutils", why: "lets a console's file be full", purpose: "jail", programs: ["env"] },
  {
    package: "bubblewrap",
    why: "shuts the VMM up in a file system and processes of its own",
    purpose: "jail",
    programs: ["bwrap"],
  },
  {
    package: "mmdebstrap",
    why: "builds the guest's file system",
    purpose: "image",
    programs: ["mmdebstrap"],
    atLeast: "1.4",
    isOldInBookworm: true,
  },
  {
    package: "util-linux",
    why: "keeps the build of the guest's file system to itself",
    purpose: "image",
    programs: ["unshare", "setpriv", "flock"],
  },
  { package: "tar", why: "packs the guest's files", purpose: "image", programs: ["tar"] },
  { package: "gpg", why: "lets mmdebstrap find the archive's key", purpose: "image", programs: ["gpg"] },
  {
    package: "debian-archive-keyring",
    why: "proves that the guest's packages are Debian's",
    purpose: "debian",
    files: ["/usr/share/keyrings/debian-archive-keyring.gpg"],
  },
  {
    package: "ubuntu-keyring",
    why: "proves that the guest's packages are Ubuntu's",
    purpose: "ubuntu",
    files: ["/usr/share/keyrings/ubuntu-archive-keyring.gpg"],
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
 * @typedef {object} Probe how to look at a machine
 * @property {(program: string) => string | undefined} find full path of a program
 * @property {(path: string) => boolean} exists
 * @property {(program: string) => string} [version] what it prints about itself; without it, any version will do
 */

/**
 * Requirements that this machine does not meet, in the order of the table.
 * @param {Purpose[]} purposes
 * @param {Probe} probe
 */
export const missingRequirements = (purposes, { find, exists, version }) =>
  REQUIREMENTS.filter(({ purpose, programs = [], files = [], atLeast }) => {
    if (!purposes.includes(purpose)) return false;
    const paths = programs.map(find);
    if (paths.includes(undefined) || !files.every(exists)) return true;
    return atLeast !== undefined && version !== undefined && !isAtLeast(version(paths[0] ?? ""), atLeast);
  });
