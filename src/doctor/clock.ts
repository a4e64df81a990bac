/** A wrong clock makes every certificate invalid and every deadline a riddle; guests get theirs from the host. */
import { run } from "../lib/exec.ts";
import { AppError } from "../lib/errors.ts";
import { ok, problem, warning, type Check } from "./check.ts";

/** This program is younger than that. */
const EARLIEST_MS = Date.UTC(2026, 0);

export const clock: Check = {
  name: "clock",
  look: async ({ images, config }) => {
    const now = new Date();
    const builtAt = Date.parse((await images.manifest(config.image))?.builtAt ?? "");
    const earliest = new Date(Math.max(EARLIEST_MS, Number.isNaN(builtAt) ? 0 : builtAt));
    const mend = "timedatectl set-ntp true (apt-get install systemd-timesyncd), or date --set";
    if (now < earliest) {
      const what = earliest.getTime() === builtAt ? "the image was built" : "this program was written";
      return problem(`The clock says ${text(now)}, and ${what} after that, on ${text(earliest)}.`, mend);
    }
    const isInStep = await isSynchronised();
    if (isInStep === false) return warning(`It says ${text(now)}; nothing keeps it in step with the world.`, mend);
    return ok(`It says ${text(now)}${isInStep ? "" : "; whether it is kept in step can't be seen here"}.`);
  },
};

const text = (date: Date): string => date.toISOString().slice(0, 16).replace("T", " ") + " UTC";

/** Undefined where nobody knows: no systemd here, or another program keeps the time. */
const isSynchronised = async (): Promise<boolean | undefined> => {
  try {
    const args = ["show", "--property=NTPSynchronized", "--value"];
    const { stdout } = await run("timedatectl", args, { timeoutMs: 3_000 });
    return { yes: true, no: false }[stdout.trim()];
  } catch (error) {
    if (error instanceof AppError) return undefined;
    throw error;
  }
};
