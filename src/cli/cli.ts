/** The command line: options that every command knows, one file per verb below commands/, errors as sentences. */
import { Command, CommanderError } from "commander";
import { addConsole } from "./commands/console.ts";
import { addDestroy } from "./commands/destroy.ts";
import { addDiagnose } from "./commands/diagnose.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addEvidence } from "./commands/evidence.ts";
import { addImage } from "./commands/image.ts";
import { addKeys } from "./commands/keys.ts";
import { addLogin } from "./commands/login.ts";
import { addLs } from "./commands/ls.ts";
import { addProviders } from "./commands/providers.ts";
import { addReap } from "./commands/reap.ts";
import { addReceipt } from "./commands/receipt.ts";
import { addShow } from "./commands/show.ts";
import { addUp } from "./commands/up.ts";
import { createContext, type CliSurroundings } from "./context.ts";
import { diskFullOf } from "../lib/disk-full.ts";
import { exitCodeOf, interrupted, INTERRUPTED, printError } from "./failure.ts";

const COMMANDS = [
  addLogin,
  addUp,
  addImage,
  addLs,
  addShow,
  addConsole,
  addDiagnose,
  addEvidence,
  addDestroy,
  addReap,
  addDoctor,
  addKeys,
  addProviders,
  addReceipt,
];

/** Runs one command to its end and returns the exit code (docs/CLI.md lists them). Never throws, never exits. */
export const runCli = async (argv: string[], surroundings: CliSurroundings): Promise<number> => {
  const program = createProgram(surroundings);
  const context = createContext(program, surroundings);
  for (const add of COMMANDS) add(program, context);
  try {
    await program.parseAsync(argv, { from: "user" });
    return context.exitCode;
  } catch (error) {
    // Help and usage errors have printed themselves.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const isInterrupted = surroundings.signal.aborted;
    const told = isInterrupted ? interrupted() : (diskFullOf(error) ?? error);
    printError(told, context);
    return isInterrupted ? INTERRUPTED : exitCodeOf(told);
  } finally {
    await context.close();
  }
};

const createProgram = ({ stdout, stderr }: CliSurroundings): Command =>
  new Command("sallyport")
    .description("Signs command line tools in on machines that have no browser.")
    .option("--url <url>", "controller: https://… or unix:/path; default: this machine's (SALLYPORT_URL)")
    .option("--public-url <url>", "where its viewers find it, if not at --url (SALLYPORT_PUBLIC_URL)")
    .option("--key <key>", "API key; better in SALLYPORT_KEY, which ps does not show")
    .option("--config <file>", "configuration of the controller on this machine (SALLYPORT_CONFIG)")
    .option("--json", "print JSON instead of text")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: (text) => stdout.write(text), writeErr: (text) => stderr.write(text) })
    .showHelpAfterError("(see: sallyport --help)");
