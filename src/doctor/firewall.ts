/** Our firewall table, whom it lets pass, and the tables of others that drop all the same. */
import { firewallScript, guestElement } from "../network/firewall-rules.ts";
import { refuseTakenTable } from "../network/firewall.ts";
import { guestDrops, type GuestDrop } from "../network/guest-drops.ts";
import { guestAddresses } from "../network/lease.ts";
import { legacyTables } from "../network/legacy-tables.ts";
import { runTool } from "../network/tool.ts";
import { troublesOf } from "../network/trouble.ts";
import { firewallView } from "../network/view.ts";
import { ok, problem, warning, type Answer, type Check } from "./check.ts";

export const firewall: Check = {
  name: "firewall",
  needsRoot: true,
  look: async ({ network, guests, table: readOurs }) => {
    const { table } = network;
    // Checked by the kernel, and thrown away.
    const script = firewallScript(network, [], "replace");
    await runTool("nft", ["-c", "-f", "-"], { input: script, timeoutMs: 4_000 });
    const [ours, running] = await Promise.all([readOurs(), guests()]);
    if (!ours) {
      return running.length === 0
        ? ok(`nftables accepts our rules; the table ${table} is made with the first session.`)
        : problem(
            `The table ${table} is gone while guests run: they have no internet, and nothing keeps them from this host.`,
            "restart the controller: it makes the table anew (and find out who flushes nftables)",
          );
    }
    refuseTakenTable(ours, network);
    const refused = running.filter((guest) => {
      const troubles = troublesOf({ firewall: firewallView(ours, guest) }, { ...network, mac: guest.mac });
      return troubles.includes("firewall-drops-guest");
    });
    if (refused.length === 0) return ok(`The table ${table} lets every running guest pass (${running.length}).`);
    return refused.map((guest) =>
      problem(
        `The table ${table} drops everything from microVM ${guest.vmId} (${guest.address}): it is not in the set guests.`,
        `nft add element inet ${table} guests '{ ${guestElement(guest)} }'`,
      ),
    );
  },
};

export const otherFirewalls: Check = {
  name: "other firewalls",
  needsRoot: true,
  look: async ({ network, links }) => {
    const uplink = (await links()).routes.find(({ dst }) => dst === "default")?.dev;
    const guest = guestAddresses(network)[0] ?? network.gateway;
    const [drops, tables] = await Promise.all([guestDrops({ ...network, guest, uplink }), legacyTables()]);
    const found = [...drops.map(foreign), ...(tables.length > 0 ? [unseen(tables)] : [])];
    return found.length > 0 ? found : ok("No other nftables table drops what guests need.");
  },
};

const unseen = (tables: string[]): Answer =>
  warning(
    `iptables-legacy has the ${tables.length === 1 ? "table" : "tables"} ${tables.join(", ")}: whether a rule there drops what guests need can't be seen here.`,
    tables.map((table) => `iptables-legacy -t ${table} -S`).join(" && "),
  );

const foreign = (drop: GuestDrop): Answer => {
  const { family, table, chain, what, by, isSure } = drop;
  const sentence = `${what} ${isSure ? "are" : "may be"} dropped by ${family} ${table} ${chain}, by ${by}.`;
  return (isSure ? problem : warning)(sentence, letThrough(drop));
};

/** As the first rule of that chain, so that nothing before it can drop. */
const letThrough = ({ family, table, chain, hook, side }: GuestDrop): string => {
  // For nft and not for the shell.
  const name = side.endsWith("*") ? `'${side}'` : side;
  return sidesAt(hook)
    .map((key) => `nft insert rule ${family} ${table} ${chain} ${key} ${name} accept`)
    .join(" && ");
};

const sidesAt = (hook: string): string[] => {
  if (hook === "forward") return ["iifname", "oifname"];
  return ["output", "postrouting", "egress"].includes(hook) ? ["oifname"] : ["iifname"];
};
