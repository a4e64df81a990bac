/** What a command gets: its output, the signal that ends it, configuration and client when it asks for them. */
import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { createClient, type Client } from "../client/client.ts";
import { loadConfig, type Config } from "../config/config.ts";
import type { Env } from "../config/env.ts";
import { AppError, errnoOf, messageOf } from "../lib/errors.ts";
import { dataPaths } from "../lib/paths.ts";
import { createOutput, type Output, type TextSink } from "./output.ts";

export interface CliSurroundings {
  env: Env;
  /** Aborted by SIGINT and SIGTERM. */
  signal: AbortSignal;
  stdout: TextSink;
  stderr: TextSink;
  /** Whether a person can answer questions on standard input. */
  isTerminal: boolean;
}

export interface CliContext extends CliSurroundings {
  out: Output;
  /** The code that a command which ran to its end leaves with; 0 unless it says otherwise. */
  exitCode: number;
  isJson(): boolean;
  config(): Config;
  /** The configuration if the local administrator's key is used, so that whoever runs this is the operator. */
  operatorConfig(): Config | undefined;
  /** Where that controller's viewers find it, as its links must say. */
  publicUrl(): string;
  /** A client of the controller that options, environment or the local configuration name. */
  client(options?: ClientWish): Client;
  close(): Promise<void>;
}

export interface ClientWish {
  /** Ctrl-C does not end its calls: for a command that must still be able to undo what it began. */
  outlivesInterrupt: boolean;
}

export const createContext = (program: Command, surroundings: CliSurroundings): CliContext => {
  const clients: Client[] = [];
  const options = (): GlobalOptions => program.opts();
  const isJson = (): boolean => options().json === true;
  const config = (): Config => loadConfig(surroundings.env, options().config ?? surroundings.env.configFile);
  return {
    ...surroundings,
    out: createOutput({ ...surroundings, isJson }),
    exitCode: 0,
    isJson,
    config,
    operatorConfig: () => ((options().key ?? surroundings.env.key) === undefined ? config() : undefined),
    publicUrl: () => {
      const named = options().publicUrl ?? surroundings.env.publicUrl;
      const url = options().url ?? surroundings.env.url;
      return named ?? (url?.startsWith("https:") ? url : config().publicUrl);
    },
    client: (wish) => {
      const signal = wish?.outlivesInterrupt ? undefined : surroundings.signal;
      const client = createClient({ ...address(options(), surroundings.env, config), signal });
      clients.push(client);
      return client;
    },
    close: async () => {
      await Promise.all(clients.map((client) => client.close()));
    },
  };
};

interface GlobalOptions {
  url?: string;
  publicUrl?: string;
  key?: string;
  config?: string;
  json?: boolean;
}

/** The local administrator's key goes to the local controller's socket only, never to an address that somebody named. */
const address = (options: GlobalOptions, env: Env, config: () => Config): { url: string; key: string } => {
  const url = options.url ?? env.url;
  const key = options.key ?? env.key;
  if (url !== undefined && key !== undefined) return { url, key };
  const local = config();
  const localUrl = `unix:${local.socket}`;
  if (key !== undefined) return { url: localUrl, key };
  if (url === undefined || url === localUrl) {
    return { url: localUrl, key: readAdminKey(dataPaths(local.dataDir).adminKey) };
  }
  throw new AppError("unauthenticated", "no-key", `No API key is given for the controller at ${url}.`, {
    hint: "Set SALLYPORT_KEY. The operator makes one with: sallyport keys add USER --scope login.",
  });
};

const readAdminKey = (file: string): string => {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") {
      throw new AppError(
        "unavailable",
        "no-admin-key",
        `No controller has run on this machine yet: there is no ${file}.`,
        {
          hint: "Start one with: sallyport up (it makes the key). Is it elsewhere? Give --url and SALLYPORT_KEY.",
          cause,
        },
      );
    }
    throw new AppError(
      "unauthenticated",
      "no-admin-key",
      `The API key in ${file} cannot be read: ${messageOf(cause)}.`,
      {
        hint: "Run this as the controller's user (sudo), or set SALLYPORT_KEY to a key of your own.",
        cause,
      },
    );
  }
};
