import { parseArgs } from "node:util";
import { AppError, messageOf } from "../src/lib/errors.ts";

export interface DemoOptions {
  /** A headless Chromium plays the person. */
  isAuto: boolean;
  isJson: boolean;
  /** The machine boots for this sign-in, as without a warm snapshot. */
  isCold: boolean;
  /** Logs and pictures of a run that went well are kept, too. */
  keep: boolean;
  isHelp: boolean;
  port: number;
  dataDir: string;
}

export const USAGE = `Usage: npm run demo -- [options]

  --auto            a headless Chromium plays the person
  --json            progress on standard error, the result as one JSON line on standard output
  --cold            without a warm snapshot: the machine boots for this sign-in. One that is there is removed
  --yes             install what is missing without asking
  --keep            keep the logs and pictures of the run although it went well
  --port PORT       of the viewer page on 127.0.0.1 (default 4000)
  --data-dir DIR    where image, warm snapshot and logs are kept (default /var/lib/sallyport-demo)
`;

/** Throws AppError `usage`. */
export const parseDemoOptions = (argv: string[]): DemoOptions => {
  const { values } = parse(argv);
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw usage(`--port ${values.port} is no port.`);
  if (!values["data-dir"].startsWith("/")) throw usage("--data-dir must be an absolute path.");
  return {
    isAuto: values.auto,
    isJson: values.json,
    isCold: values.cold,
    keep: values.keep,
    isHelp: values.help,
    port,
    dataDir: values["data-dir"],
  };
};

const parse = (args: string[]) => {
  try {
    return parseArgs({
      args,
      options: {
        auto: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        cold: { type: "boolean", default: false },
        // Answered before this program starts, by scripts/system-packages.mjs.
        yes: { type: "boolean", default: false },
        keep: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
        port: { type: "string", default: "4000" },
        "data-dir": { type: "string", default: "/var/lib/sallyport-demo" },
      },
    });
  } catch (error) {
    throw usage(messageOf(error));
  }
};

const usage = (sentence: string): AppError => new AppError("invalid", "usage", sentence, { hint: USAGE });
