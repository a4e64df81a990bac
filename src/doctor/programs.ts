/** What Debian's packages bring; the VMM has a check of its own. */
import { REQUIREMENTS, type Purpose } from "../lib/host-packages.mjs";
import { missingPackages } from "../lib/missing-packages.ts";
import { ok, problem, warning, type Check } from "./check.ts";

/** To build an image, and not to run microVMs. */
const FOR_IMAGES: Purpose[] = ["image", "debian"];
const WANTED: Purpose[] = ["jail", "microvm", ...FOR_IMAGES];

export const programs: Check = {
  name: "programs",
  look: async ({ path, images, config }) => {
    const hasImage = (await images.find(config.image).catch(() => undefined)) !== undefined;
    // A jail is made from the system's own folders, whatever the path of who looks.
    const missing = [...missingPackages(["jail"]), ...missingPackages(["microvm", ...FOR_IMAGES], path)];
    if (missing.length === 0) {
      const wanted = REQUIREMENTS.filter(({ purpose }) => WANTED.includes(purpose));
      return ok([...new Set(wanted.flatMap((row) => row.programs ?? []))].join(", "));
    }
    return missing.map((one) => {
      const isNeeded = !hasImage || !FOR_IMAGES.includes(one.purpose);
      return (isNeeded ? problem : warning)(one.sentence, `apt-get install ${one.package}`);
    });
  },
};
