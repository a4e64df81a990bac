/** What a command gets: its output, the signal that ends it, configuration and client when it asks for them. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { createClient, type Client } from "../client/client.ts";
import { loadConfig, type Config } from "../config/config.ts";
import type { Env } from "../config/env.ts";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { dataPaths } from "../lib/paths.ts";
import { withoutUser } from "../lib/redact.ts";
import { createOutput, type TextSink } from "./output.ts";

export interface CliSurroundings {
  env: Env;
  /** Aborted by SIGINT, SIGTERM and SIGHUP, and when an output is lost. */
  signal: AbortSignal;
  stdout: TextSink;
  stderr: TextSink;
  /** Whether a person can answer questions on standard input. */
  isTerminal: boolean;
}

export type CliContext = ReturnType<typeof createContext>;

export const createContext = (program: Command, surroundings: CliSurroundings) => {
  const clients: Client[] = [];
  const named = () => ({ ...surroundings.env, ...program.opts<GlobalOptions>() });
  const isJson = (): boolean => named().json === true;
  const config = (): Config => loadConfig(surroundings.env, named().config ?? surroundings.env.configFile);
  return {
    ...surroundings,
    out: createOutput({ ...surroundings, isJson }),
    /** The code that a command which ran to its end leaves with; 0 unless it says otherwise. */
    exitCode: 0,
    isJson,
    config,
    /** The configuration if the local administrator's key is used, so that whoever runs this is the operator. */
    operatorConfig: (): Config | undefined => (named().key === undefined ? config() : undefined),
    /** Where that controller's viewers find it, as its links must say. */
    publicUrl: (): string => {
      const { publicUrl, url } = named();
      return publicUrl ?? (url?.startsWith("https:") ? url : config().publicUrl);
    },
    /**
     * A client of the controller that options, environment or the local configuration name. `outlivesInterrupt`: Ctrl-C does not end
     * its calls, for a command that must still be able to undo what it began.
     */
    client: ({ outlivesInterrupt = false } = {}): Client => {
      const signal = outlivesInterrupt ? undefined : surroundings.signal;
      const client = createClient({ ...address(named(), config), signal });
      clients.push(client);
      return client;
    },
    close: async (): Promise<void> => {
      await Promise.all(clients.map((client) => client.close()));
    },
  };
};

/** What is said on the command line goes before the environment. */
interface GlobalOptions {
  url?: string;
  publicUrl?: string;
  key?: string;
  config?: string;
  json?: boolean;
}

/** The local administrator's key goes to the local controller's socket only, never to an address that somebody named. */
const address = ({ url, key }: Pick<Env, "url" | "key">, config: () => Config): { url: string; key: string } => {
  if (url !== undefined && key !== undefined) return { url, key };
  const local = config();
  const localUrl = `unix:${local.socket}`;
  if (key !== undefined) return { url: localUrl, key };
  if (url === undefined || url === localUrl) {
    return { url: localUrl, key: readAdminKey(dataPaths(local.dataDir).adminKey) };
  }
  throw new AppError("unauthenticated", "no-key", `No API key is given for the controller at ${withoutUser(url)}.`, {
    hint: "Set SALLYPORT_KEY. The operator makes one with: sallyport keys add USER --scope login.",
  });
};

const readAdminKey = (file: string): string => {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") {
      const sentence = `No controller has run here with this configuration: there is no ${file}.`;
      const hint =
        "Has it a configuration of its own? Give --config. Is it elsewhere? Give --url and SALLYPORT_KEY. Else start it (sudo sallyport up); if only the key is gone: sudo sallyport keys admin --new.";
      throw new AppError("unavailable", "no-admin-key", sentence, { hint, cause });
    }
    const sentence = `The API key in ${file} cannot be read: ${messageOf(cause)}.`;
    const hint = "Run this as the controller's user (sudo), or set SALLYPORT_KEY to a key of your own.";
    throw new AppError("unauthenticated", "no-admin-key", sentence, { hint, cause });
  }
};
