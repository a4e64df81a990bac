/**
 * Firewall tables other than ours that would drop what guests need. An `accept` of ours ends only our own table's chain:
 * Docker's FORWARD policy, ufw's INPUT and the like still have their say.
 */
import { withDevices } from "./chain-devices.ts";
import { journeysAt, type GuestPaths } from "./guest-journeys.ts";
import { dropIn, parseRuleset, type Ruleset } from "./ruleset.ts";
import { runTool } from "./tool.ts";

export type GuestDrop = ReturnType<typeof dropsIn>[number];

/** Needs root. Throws as `runTool` does. */
export const guestDrops = async (paths: GuestPaths): Promise<GuestDrop[]> => {
  const ruleset = parseRuleset(await list("-j", "list", "ruleset"));
  return dropsIn(await withDevices(ruleset, () => list("list", "chains")), paths);
};

const list = async (...args: string[]): Promise<string> => (await runTool("nft", args, { timeoutMs: 4_000 })).stdout;

/** Pure. At most one per chain: the first that is certain, else the first. */
export const dropsIn = (ruleset: Ruleset, paths: GuestPaths) =>
  ruleset.chains
    .filter(({ type }) => type === "filter")
    .filter(({ family, table }) => !(family === "inet" && table === paths.table))
    .flatMap((chain) => {
      const { family, table, name, hook = "" } = chain;
      const drops = journeysAt(chain, paths).flatMap(({ packet, ...told }) => {
        const drop = dropIn(ruleset, chain, packet);
        return drop ? [{ ...told, ...drop }] : [];
      });
      const first = drops.find(({ isSure }) => isSure) ?? drops[0];
      return first ? [{ family, table, chain: name, hook, ...first }] : [];
    });
