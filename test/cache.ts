/** Where tests keep images, and tell of building them. */
import type { OnProgress } from "../src/image/progress.ts";

/** Data directory with the images of the tests, and what lies beside them; the same for all checkouts. */
export const testCache = (): string => process.env.SALLYPORT_TEST_CACHE ?? "/var/tmp/sallyport-test";

/** `say` gets a line for each step. */
export const tellImage =
  (say: (line: string) => void): OnProgress =>
  ({ stage, message }) =>
    say(`image: ${stage}: ${message}`);
