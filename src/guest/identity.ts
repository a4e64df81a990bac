/** `configure`: gives this copy of the image its own identity. Each part stands alone and may come again. */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import type { GuestParams } from "../contract/guest.ts";
import type { run } from "../lib/exec.ts";
import { poll } from "../lib/wait.ts";
import { eth0Address } from "./machine.ts";
import type { SessionHolder } from "./session.ts";

export interface IdentityOptions {
  root: string;
  session: SessionHolder;
  runProgram: typeof run;
  /** What tests replace: the wall clock's reading, the links there are, sending a signal, and how long networkd may take. */
  now?: () => number;
  interfaces?: typeof networkInterfaces;
  signal?: (pid: number, name: "SIGHUP") => unknown;
  networkTimeoutMs?: number;
}

/** Below this the journey of the message itself is a good part of the difference. */
const CLOCK_TOLERANCE_MS = 500;
const PROGRAM_TIMEOUT_MS = 15_000;
/** Measured under emulation: 0.3 s. */
const NETWORK_TIMEOUT_MS = 10_000;
const NETWORKD_PROCS = "sys/fs/cgroup/system.slice/systemd-networkd.service/cgroup.procs";

export const createConfigure = (options: IdentityOptions) => {
  const { root, session, runProgram, now = Date.now, interfaces = networkInterfaces } = options;
  const { signal = (pid, name) => process.kill(pid, name), networkTimeoutMs = NETWORK_TIMEOUT_MS } = options;

  const setClock = async (clockMs: number): Promise<void> => {
    if (Math.abs(now() - clockMs) < CLOCK_TOLERANCE_MS) return;
    await runProgram("date", [`--set=@${(clockMs / 1000).toFixed(3)}`], { timeoutMs: PROGRAM_TIMEOUT_MS });
  };

  const setHostname = async (hostname: string): Promise<void> => {
    await writeFile(join(root, "proc/sys/kernel/hostname"), hostname);
    await replace("etc/hostname", `${hostname}\n`);
    await replace("etc/hosts", `127.0.0.1\tlocalhost\n127.0.1.1\t${hostname}\n`);
  };

  /**
   * networkd stays eth0's one owner: the file stands where systemd-network-generator puts that of `ip=`, and networkd reads it on a
   * signal, which costs no program (it is of systemd 257; its unit is of type notify-reload).
   */
  const setNetwork = async (network: NonNullable<GuestParams<"configure">["network"]>): Promise<void> => {
    await replace("run/systemd/network/70-eth0.network", networkFile(network));
    const networkd = Number((await readFile(join(root, NETWORKD_PROCS), "utf8")).split("\n")[0]);
    await signal(networkd, "SIGHUP");
    const address = `${network.address}/${network.prefixLength}`;
    const isThere = async (): Promise<true | undefined> =>
      eth0Address(interfaces) === address && interfaces()["eth0"]?.[0]?.mac === network.mac ? true : undefined;
    await poll(isThere, { what: `${network.mac} and ${address} on eth0`, timeoutMs: networkTimeoutMs, intervalMs: 5 });
  };

  /** Whole or as it was for whoever reads it meanwhile. Nothing here outlasts the machine, so nothing is forced to a disk. */
  const replace = async (name: string, content: string): Promise<void> => {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new`, content, { mode: 0o644 });
    await rename(`${path}.new`, path);
  };

  return async (params: GuestParams<"configure">): Promise<Record<string, never>> => {
    const { clockMs, hostname, machineId, nameserver, network } = params;
    await Promise.all([
      network && setNetwork(network),
      clockMs !== undefined && setClock(clockMs),
      hostname !== undefined && setHostname(hostname),
      machineId !== undefined && replace("etc/machine-id", `${machineId}\n`),
      nameserver !== undefined && replace("etc/resolv.conf", `nameserver ${nameserver}\n`),
    ]);
    // Last: what a session finds is this machine's own.
    if (params.session !== undefined) session.set(params.session);
    return {};
  };
};

const networkFile = ({ mac, address, prefixLength, gateway }: NonNullable<GuestParams<"configure">["network"]>) =>
  `[Match]
Name=eth0

[Link]
MACAddress=${mac}

[Network]
DHCP=no
LinkLocalAddressing=no
IPv6AcceptRA=no
Address=${address}/${prefixLength}
Gateway=${gateway}
`;
