/** Programs that Debian's packages bring. */
import { findProgram } from "../lib/programs.ts";
import { ok, problem, warning } from "./check.ts";
import type { Check } from "./check.ts";

/** `image`: needed to build one, not to run microVMs. */
const PROGRAMS = [
  { package: "iproute2", programs: ["ip", "bridge"], use: "the bridge and the TAPs", isForImage: false },
  { package: "nftables", programs: ["nft"], use: "the firewall", isForImage: false },
  { package: "dnsmasq-base", programs: ["dnsmasq"], use: "the guests' resolver", isForImage: false },
  { package: "util-linux", programs: ["setpriv", "prlimit"], use: "taking rights from the VMM", isForImage: false },
  { package: "util-linux", programs: ["unshare", "flock"], use: "building an image", isForImage: true },
  { package: "mmdebstrap", programs: ["mmdebstrap"], use: "building an image", isForImage: true },
  { package: "gpg", programs: ["gpg"], use: "building an image", isForImage: true },
  { package: "e2fsprogs", programs: ["mkfs.ext4"], use: "building an image", isForImage: true },
];

export const programs: Check = {
  name: "programs",
  look: async ({ path, images, config }) => {
    const hasImage = (await images.find(config.image).catch(() => undefined)) !== undefined;
    const missing = PROGRAMS.flatMap((row) => row.programs.map((name) => ({ ...row, name }))).filter(
      ({ name }) => findProgram(name, path) === undefined,
    );
    if (missing.length === 0) return ok(PROGRAMS.flatMap((row) => row.programs).join(", "));
    return missing.map((one) => {
      const isNeeded = !one.isForImage || !hasImage;
      const text = `${one.name} is not installed; it is for ${one.use}.`;
      return (isNeeded ? problem : warning)(text, `apt-get install ${one.package}`);
    });
  },
};
