/** Ways to break a running guest, on the host's side and mend it again, or in itself. */
import { statfs } from "node:fs/promises";
import type { VmView } from "../../src/contract/api.ts";
import type { Stand } from "./stand.ts";

export interface Scene {
  stand: Stand;
  sessionId: string;
  vm: VmView;
}

/** Answers with what mends it. */
export type HostBreak = (scene: Scene) => Promise<() => Promise<unknown>>;

const BRIDGE = "br0";
const GATEWAY = "192.168.100.1/24";
const TABLE = "sallyport";

export const tapDown: HostBreak = async ({ stand, vm }) => {
  await stand.inHost("ip", "link", "set", "dev", vm.tap, "down");
  return () => stand.inHost("ip", "link", "set", "dev", vm.tap, "up");
};

export const vmmKilled: HostBreak = async ({ vm }) => {
  process.kill(vm.pid ?? Number.NaN, "SIGKILL");
  return async () => {};
};

/** A port that comes back has lost its options: as the controller sets them (network/tap.ts). */
export const tapOffBridge: HostBreak = async ({ stand, vm }) => {
  await stand.inHost("ip", "link", "set", "dev", vm.tap, "nomaster");
  const mac = (await macOf(stand, vm)) ?? "";
  const options = "isolated on locked on learning off flood off mcast_flood off bcast_flood off".split(" ");
  return async () => {
    await stand.inHost("ip", "link", "set", "dev", vm.tap, "master", BRIDGE);
    await stand.inHost("bridge", "link", "set", "dev", vm.tap, ...options);
    await stand.inHost("bridge", "fdb", "replace", mac, "dev", vm.tap, "master", "static");
  };
};

/** The neighbour entries go with the address; the controller's are permanent (network/guest.ts). */
export const bridgeAddressGone: HostBreak = async ({ stand, vm }) => {
  const mac = (await macOf(stand, vm)) ?? "";
  await stand.inHost("ip", "address", "delete", GATEWAY, "dev", BRIDGE);
  return async () => {
    await stand.inHost("ip", "address", "add", GATEWAY, "dev", BRIDGE);
    await stand.inHost("ip", "neigh", "replace", vm.address, "lladdr", mac, "dev", BRIDGE, "nud", "permanent");
  };
};

/** Somebody else's table, as a firewall package would load it. */
export const foreignFirewall: HostBreak = async ({ stand, vm }) => {
  await stand.nft(`
    table inet corporate {
      chain incoming {
        type filter hook input priority filter; policy accept;
        ip saddr ${vm.address} drop
      }
    }
  `);
  return () => stand.nft("delete table inet corporate\n");
};

export const guestNotAdmitted: HostBreak = async ({ stand, vm }) => {
  const guests = `${TABLE} guests { ${vm.address} . ${(await macOf(stand, vm)) ?? ""} }\n`;
  await stand.nft(`delete element inet ${guests}`);
  return () => stand.nft(`add element inet ${guests}`);
};

export const tableGone: HostBreak = async ({ stand }) => {
  const table = (await stand.inHost("nft", "list", "table", "inet", TABLE)).stdout;
  await stand.nft(`delete table inet ${TABLE}\n`);
  return () => stand.nft(table);
};

/** The disk shrinks to what lies on it, which leaves as little room as if somebody had filled it. */
export const diskFull: HostBreak = async ({ stand }) => {
  const { blocks, bfree, bsize } = await statfs(stand.paths.root);
  const resize = (bytes: number) => stand.inHost("mount", "-o", `remount,size=${bytes}`, stand.paths.root);
  await resize((blocks - bfree) * bsize);
  return () => resize(blocks * bsize);
};

/** The guest breaks itself, as a word on a port of the faults' image asks it to (image/break.sh); not to be mended. */
export const guestBroken =
  (word: string): HostBreak =>
  async ({ stand, vm }) => {
    await stand.inHost(process.execPath, "-e", SAY, vm.address, word);
    return async () => {};
  };

const SAY = `
  const socket = require("node:net").connect(8090, process.argv[1], () => socket.write(process.argv[2] + "\\n"));
  socket.on("data", (data) => process.stdout.write(data));
`;

const macOf = async (stand: Stand, { address }: VmView): Promise<string | undefined> =>
  /lladdr (\S+)/.exec((await stand.inHost("ip", "neigh", "show", "to", address)).stdout)?.[1];
