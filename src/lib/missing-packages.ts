/** What this host lacks of the table of what it must have. */
import { existsSync } from "node:fs";
import { missingRequirements, type Purpose } from "./host-packages.mjs";
import { findProgram, SYSTEM_PATH } from "./programs.ts";

export interface MissingPackage {
  purpose: Purpose;
  /** Debian's and Ubuntu's name. */
  package: string;
  /** For people: what is not there, and what it is for. */
  sentence: string;
}

/** `path`: folders of programs, joined by `:`; by default the system's own. Versions are not looked at. */
export const missingPackages = (purposes: Purpose[], path = SYSTEM_PATH): MissingPackage[] =>
  missingRequirements(purposes, { find: (name) => findProgram(name, path), exists: existsSync }).map((one) => {
    const parts = [...(one.programs ?? []), ...(one.files ?? [])].join(" or ");
    const sentence = `${parts} is not there: it ${one.why}.`;
    return { purpose: one.purpose, package: one.package, sentence };
  });
