/** What Debian's packages bring; the VMM has a check of its own. */
import { existsSync } from "node:fs";
import { missingRequirements, REQUIREMENTS, type Purpose } from "../lib/host-packages.mjs";
import { findProgram } from "../lib/programs.ts";
import { ok, problem, warning, type Check } from "./check.ts";

/** To build an image, and not to run microVMs. */
const FOR_IMAGES: Purpose[] = ["image", "debian"];
const WANTED: Purpose[] = ["microvm", ...FOR_IMAGES];

export const programs: Check = {
  name: "programs",
  look: async ({ path, images, config }) => {
    const hasImage = (await images.find(config.image).catch(() => undefined)) !== undefined;
    const missing = missingRequirements(WANTED, { find: (name) => findProgram(name, path), exists: existsSync });
    if (missing.length === 0) {
      const wanted = REQUIREMENTS.filter(({ purpose }) => WANTED.includes(purpose));
      return ok([...new Set(wanted.flatMap((row) => row.programs ?? []))].join(", "));
    }
    return missing.map((one) => {
      const isNeeded = !hasImage || !FOR_IMAGES.includes(one.purpose);
      const parts = [...(one.programs ?? []), ...(one.files ?? [])].join(" or ");
      return (isNeeded ? problem : warning)(`${parts} is not there: it ${one.why}.`, `apt-get install ${one.package}`);
    });
  },
};
