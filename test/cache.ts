/** Where tests keep images, and tell of building them. */
import { lstatSync, mkdirSync } from "node:fs";
import type { OnProgress } from "../src/image/progress.ts";
import { requireOurs } from "../src/lib/guarded-path.ts";

/**
 * Data directory with the images of the tests, and what lies beside them; the same for all checkouts. Where nobody chose one it is
 * `usual`, a name that any user can take first: what is there must be ours. Throws AppError `path-not-ours`.
 */
export const testCache = (usual = "/var/tmp/sallyport-test"): string => process.env.SALLYPORT_TEST_CACHE ?? ours(usual);

const ours = (folder: string): string => {
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  requireOurs(folder, lstatSync(folder), "folder");
  return folder;
};

/** `say` gets a line for each step. */
export const tellImage =
  (say: (line: string) => void): OnProgress =>
  ({ stage, message }) =>
    say(`image: ${stage}: ${message}`);
