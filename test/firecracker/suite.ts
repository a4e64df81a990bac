export interface SuiteOptions {
  /** Folder with `firecracker` and `jailer`; without it nothing is run. */
  binaries: string | undefined;
  /** Test files, as vitest finds them; empty: all. */
  files: string[];
  /** Data directory that keeps images and disks; results are put below it. */
  cacheDir: string;
  /** For the tests alone: building images and booting have deadlines of their own. */
  timeoutMs: number;
  /** Whether an emulated machine stays after the tests, until `signal`. */
  isKept: boolean;
  signal: AbortSignal;
  /** Gets what vitest prints, as it comes. */
  out: NodeJS.WritableStream;
  /** Gets progress, a line at a time. */
  say: (line: string) => void;
}

export interface PlaceOptions extends Omit<SuiteOptions, "binaries"> {
  binaries: string;
  /** Folder here that gets vitest's report, as REPORT, and all that tests kept. */
  results: string;
}

/**
 * Runs the tests in one place, and answers vitest's exit code and what its report's file names begin with. Throws when they did
 * not come to an end; what results there are have been brought out then, too.
 */
export type RunInPlace = (options: PlaceOptions) => Promise<{ exitCode: number; root: string }>;

export const REPORT = "report.json";

/** @param report where vitest writes its report, in that place */
export const vitestArguments = (files: string[], report: string): string[] => {
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  return ["run", "--project", "firecracker", ...files, ...reporters];
};
