/** Whether this machine can run microVMs, how many, and what mends the rest. Changes nothing. */
import { orAfter } from "../lib/wait.ts";
import { runCheck, type Check } from "./check.ts";
import { clock } from "./clock.ts";
import { firewall, otherFirewalls } from "./firewall.ts";
import { createHost, type Host, type HostOptions } from "./host.ts";
import { checksums, image } from "./image.ts";
import { names, resolver } from "./names.ts";
import { bridge, forwarding, range, tun } from "./network.ts";
import { production } from "./production.ts";
import { programs } from "./programs.ts";
import { capacityOf, disk, memory } from "./room.ts";
import { taps } from "./taps.ts";
import { users } from "./users.ts";
import { vmm, vmmChecks } from "./vmms.ts";
import { warmSnapshot } from "./warm.ts";

/** In the order they are shown; all run at once. To add one: a file or a const beside its like, and its name here. */
const checksOf = (host: Host): readonly Check[] => [
  programs,
  vmm,
  ...vmmChecks(host),
  image,
  checksums,
  warmSnapshot,
  memory,
  disk,
  users,
  tun,
  range,
  bridge,
  taps,
  forwarding,
  firewall,
  otherFirewalls,
  names,
  resolver,
  clock,
  ...production(),
];

export type DoctorReport = Awaited<ReturnType<typeof examine>>;

/** Within ten seconds whatever hangs, but for `isDeep`. */
export const examine = async (options: HostOptions) => {
  const startedAt = performance.now();
  const host = createHost(options);
  // The same questions as those of `memory` and `disk`, which tell what is the matter with an answer that does not come.
  const asked = capacityOf(host).catch(() => null);
  const [capacity, ...found] = await Promise.all([
    orAfter(asked, CAPACITY_MS, () => null),
    ...checksOf(host).map((check) => runCheck(check, host)),
  ]);
  const checks = found.flat();
  return {
    /** No line is a problem. */
    ok: checks.every(({ result }) => result !== "problem"),
    checks,
    /** Null: could not be found out in time; the lines of memory and disk say why. */
    capacity,
    tookMs: Math.round(performance.now() - startedAt),
  };
};

const CAPACITY_MS = 5_000;
