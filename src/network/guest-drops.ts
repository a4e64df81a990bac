/**
 * Firewall tables other than ours that would drop what guests need. An `accept` of ours ends only our own table's chain:
 * Docker's FORWARD policy, ufw's INPUT and the like still have their say.
 */
import { withDevices } from "./chain-devices.ts";
import { journeysAt } from "./guest-journeys.ts";
import type { GuestPaths } from "./guest-journeys.ts";
import { fateIn, parseRuleset } from "./ruleset.ts";
import type { Ruleset } from "./ruleset.ts";
import { runTool } from "./tool.ts";

export interface GuestDrop {
  family: string;
  table: string;
  chain: string;
  hook: string;
  /** The guests' interface as that hook sees it: the bridge or the TAP, which may end in `*`. */
  side: string;
  /** What is dropped, as the subject of a sentence. */
  what: string;
  /** The host cannot reach the guest for it. */
  keepsHostOut: boolean;
  /** `its policy`, or `the rule with handle 7 of chain X`. */
  by: string;
  /** False: rules that could not be judged may let it pass. */
  isSure: boolean;
}

/** Needs root. Throws as `runTool` does. */
export const guestDrops = async (paths: GuestPaths): Promise<GuestDrop[]> => {
  const ruleset = parseRuleset(await list("-j", "list", "ruleset"));
  return dropsIn(await withDevices(ruleset, () => list("list", "chains")), paths);
};

const list = async (...args: string[]): Promise<string> => (await runTool("nft", args, { timeoutMs: 4_000 })).stdout;

/** Pure. At most one per chain: the first that is certain, else the first. */
export const dropsIn = (ruleset: Ruleset, paths: GuestPaths): GuestDrop[] =>
  ruleset.chains
    .filter(({ type }) => type === "filter")
    .filter(({ family, table }) => !(family === "inet" && table === paths.table))
    .flatMap((chain) => {
      const { family, table, name, hook = "" } = chain;
      const drops = journeysAt(chain, paths).flatMap(({ packet, ...told }) => {
        const fate = fateIn(ruleset, chain, packet);
        return fate.kind === "dropped" ? [{ ...told, by: fate.by, isSure: fate.isSure }] : [];
      });
      const first = drops.find(({ isSure }) => isSure) ?? drops[0];
      return first ? [{ family, table, chain: name, hook, ...first }] : [];
    });
