/** `configure`: gives this copy of the image its own identity. Each part stands alone and may come again. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { GuestParams } from "../contract/guest.ts";
import { writeFileAtomically } from "../lib/atomic-file.ts";
import type { run } from "../lib/exec.ts";
import { poll } from "../lib/wait.ts";
import { eth0Address } from "./machine.ts";
import type { SessionHolder } from "./session.ts";

export interface IdentityOptions {
  root: string;
  session: SessionHolder;
  runProgram: typeof run;
  /** Wall clock and its reading, for tests. */
  now?: () => number;
}

/** Below this the journey of the message itself is a good part of the difference. */
const CLOCK_TOLERANCE_MS = 500;
const PROGRAM_TIMEOUT_MS = 15_000;

export const createConfigure = ({ root, session, runProgram, now = Date.now }: IdentityOptions) => {
  /**
   * Mixed into the kernel's pool without being credited. RNDADDENTROPY would credit it, but is an ioctl, and Node has none;
   * the pool needs no credit after the virtio random source, only bytes that no other copy of this memory has.
   */
  const stirEntropy = async (base64: string): Promise<void> =>
    writeFile(join(root, "dev/urandom"), Buffer.from(base64, "base64"));

  const setClock = async (clockMs: number): Promise<void> => {
    if (Math.abs(now() - clockMs) < CLOCK_TOLERANCE_MS) return;
    await runProgram("date", [`--set=@${(clockMs / 1000).toFixed(3)}`], { timeoutMs: PROGRAM_TIMEOUT_MS });
  };

  const setHostname = async (hostname: string): Promise<void> => {
    await writeFile(join(root, "proc/sys/kernel/hostname"), hostname);
    await replace("etc/hostname", `${hostname}\n`);
    await replace("etc/hosts", `127.0.0.1\tlocalhost\n127.0.1.1\t${hostname}\n`);
  };

  /** Writes over the file that systemd-network-generator made from `ip=`, so that networkd stays eth0's one owner. */
  const setNetwork = async (network: NonNullable<GuestParams<"configure">["network"]>): Promise<void> => {
    const address = `${network.address}/${network.prefixLength}`;
    await replace("run/systemd/network/70-eth0.network", networkFile(address, network.gateway));
    await runProgram("networkctl", ["reload"], { timeoutMs: PROGRAM_TIMEOUT_MS });
    await runProgram("networkctl", ["reconfigure", "eth0"], { timeoutMs: PROGRAM_TIMEOUT_MS });
    const isThere = async (): Promise<true | undefined> => eth0Address() === address || undefined;
    await poll(isThere, { what: `${address} on eth0`, timeoutMs: 10_000, intervalMs: 20 });
  };

  const replace = async (name: string, content: string): Promise<void> => {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    writeFileAtomically(path, content, 0o644);
  };

  return async (params: GuestParams<"configure">): Promise<Record<string, never>> => {
    if (params.entropy !== undefined) await stirEntropy(params.entropy);
    if (params.clockMs !== undefined) await setClock(params.clockMs);
    if (params.hostname !== undefined) await setHostname(params.hostname);
    if (params.nameserver !== undefined) await replace("etc/resolv.conf", `nameserver ${params.nameserver}\n`);
    if (params.network !== undefined) await setNetwork(params.network);
    if (params.session !== undefined) session.set(params.session);
    return {};
  };
};

const networkFile = (address: string, gateway: string): string =>
  `[Match]
Name=eth0

[Network]
DHCP=no
LinkLocalAddressing=no
IPv6AcceptRA=no
Address=${address}
Gateway=${gateway}
`;
