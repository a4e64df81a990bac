/** What the world and its controller tell each other. */

/** Nobody routes these: they are on the loopback of the world, where all guests answer. */
export const GUESTS = { gateway: "192.168.100.1", range: "192.168.100.0/22", tcp: "127.0.0.1:4000" };

export interface WorldOptions {
  dataDir: string;
  configFile: string;
  /** That plays the VMM. */
  program: string;
}

/** Milliseconds by which the controller's event loop was late. */
export interface Loop {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}
