import { pino, type DestinationStream, type Logger } from "pino";

export type { Logger };

/** One JSON line per state change. Headers, tickets, keys and page content never reach a logger (docs/SECURITY.md). */
export const createLogger = (options: { level: string }, stream?: DestinationStream): Logger =>
  pino({ level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, stream ?? pino.destination(2));

/** For tests and commands that have nothing to say. */
export const silentLogger = (): Logger => pino({ level: "silent" });
