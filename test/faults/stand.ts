/** A host with a controller whose microVMs can be told how to come up broken. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import type { StartResponse } from "../../src/contract/api.ts";
import type { StartStage } from "../../src/contract/session.ts";
import { run, type RunResult } from "../../src/lib/exec.ts";
import { createBootHost, type BootHost, type BootHostOptions } from "../boot/host.ts";
import type { Sabotage } from "./sabotage.ts";

export interface Stand extends BootHost {
  /** After which a guest is given up that has not come so far. */
  deadlinesSec: Deadlines;
  /** Starts a session whose microVM follows the plan. */
  begin(plan: Sabotage): Promise<StartResponse>;
  /** Runs a program in the host's namespace; throws when it fails. */
  inHost(file: string, ...args: string[]): Promise<RunResult>;
  nft(script: string): Promise<RunResult>;
}

/** What a healthy guest keeps, beside another one on two cores under emulation; the product's own are more generous. */
export const DEADLINES_SEC: Deadlines = {
  kernel: 60,
  agent: 150,
  addressed: 15,
  reachable: 10,
  display: 45,
  browser: 200,
};
type Deadlines = Partial<Record<StartStage, number>>;

/** Until a session whose guest went silent is given up; longer than any fault that it must survive. */
export const UNREACHABLE_SEC = 30;

export interface StandOptions extends Pick<BootHostOptions, "image" | "diskMib" | "vmm" | "isWarm"> {
  deadlinesSec?: Deadlines;
}

/** `name`: a-z, at most 8 characters. Throws like `createBootHost`. */
export const createStand = async (
  name: string,
  cacheDir: string,
  { deadlinesSec = DEADLINES_SEC, ...options }: StandOptions,
): Promise<Stand> => {
  const plans = join(cacheDir, "boot-data", `${name}-plans`);
  await mkdir(plans, { recursive: true });
  const host = await createBootHost(name, cacheDir, {
    ...options,
    session: { unreachableSec: UNREACHABLE_SEC, deadlinesSec, maxPerUser: 250, ttlSec: 3600 },
    controller: (configFile) => [fileURLToPath(new URL("controller.ts", import.meta.url)), configFile, plans],
  });
  const inNamespace = ["netns", "exec", `sallyport-${name}-host`];
  return Object.assign(host, {
    deadlinesSec,
    begin: async (plan: Sabotage) => {
      const started = await host.client.start({ provider: "claude_code" });
      // Whole or not at all: the controller may be looking for it.
      const file = join(plans, `${started.browserIP}.json`);
      await writeFile(`${file}.new`, JSON.stringify(plan));
      await rename(`${file}.new`, file);
      return started;
    },
    inHost: (file: string, ...args: string[]) => run("ip", [...inNamespace, file, ...args]),
    nft: (script: string) => run("ip", [...inNamespace, "nft", "-f", "-"], { input: script }),
  });
};
