import { writeFileAtomically } from "../lib/atomic-file.ts";
import { AppError } from "../lib/errors.ts";
import { HOST_ID, newHostId } from "../lib/id.ts";
import { readKeyFile } from "../lib/key-file.ts";

/** `hst_…`, by which sessions and receipts name this host; made at the first start. Throws AppError `host-id-unusable`. */
export const loadHostId = (file: string): string => {
  const known = readKeyFile(file);
  if (known !== undefined) {
    if (HOST_ID.test(known)) return known;
    throw new AppError("internal", "host-id-unusable", `What is in ${file} is not a host's id.`, {
      hint: "Restore it from a copy, or remove it: this host then has a new id, and old receipts name the old one.",
    });
  }
  const made = newHostId();
  writeFileAtomically(file, `${made}\n`);
  return made;
};
