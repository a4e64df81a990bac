/** What the controller does by itself, once after it listens and then each minute; and the leak gauge, which is one result of it. */
import type { Config } from "../config/config.ts";
import type { ReapResponse } from "../contract/api.ts";
import { pruneEvidence } from "../diagnosis/evidence-prune.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import type { DataPaths } from "../lib/paths.ts";
import { createSteadyTime } from "../lib/steady-time.ts";
import type { Ledger } from "../microvm/ledger.ts";
import type { Network } from "../network/network.ts";
import type { Pool } from "../microvm/pool.ts";
import type { Warm } from "../microvm/warm.ts";
import type { LocalSessions } from "../session/local-sessions.ts";

/** Of rounds that come each minute. */
const STALE_MS = 180_000;
const SLOW_MS = 30_000;

export interface ChoresDeps {
  config: Config;
  paths: DataPaths;
  ledger: Ledger;
  network: Network;
  sessions: Pick<LocalSessions, "resume" | "vms" | "isDriven">;
  reap: (options: { dryRun: boolean }) => Promise<ReapResponse>;
  warm: Pick<Warm, "keep"> & Pick<Pool, "refill"> & { isNobodys: (vmId: string) => boolean };
  /** Answers how many sessions were forgotten; their age is counted by `steadyNow`. */
  forgetHistory: (steadyNow: number) => Promise<number>;
  logger: Logger;
}

export const createChores = (deps: ChoresDeps) => {
  const { config, paths, ledger, network, sessions, reap, warm, forgetHistory, logger } = deps;
  let leaks = { count: Number.NaN, seenAt: 0 };
  const historyTime = createSteadyTime(config.history.keepDays);
  const evidenceTime = createSteadyTime(config.evidence.keepDays);
  const chores: Record<string, () => Promise<void>> = {
    "taking up sessions that nobody looks after": async () => {
      const resumed = await sessions.resume();
      if (resumed.length > 0) logger.info({ resumed }, "taken up");
    },
    // Somebody may have flushed the firewall or ended the resolver under running guests.
    "putting the guests' network right": async () => {
      if ((await ledger.held()).length > 0) await network.ensure();
    },
    "removing what belongs to no session": async () => {
      leaks = { count: Number.NaN, seenAt: 0 };
      const { removed, failed } = await reap({ dryRun: false });
      if (removed.length > 0) logger.info({ removed }, "reaped");
      if (failed.length > 0) logger.error({ failed }, "could not be removed");
      const ofEnded = (await sessions.vms())
        .filter((vm) => !sessions.isDriven(vm) && !warm.isNobodys(vm.vmId))
        .flatMap((vm) => vm.holds);
      leaks = { count: failed.length + ofEnded.length, seenAt: performance.now() };
    },
    "keeping a warm snapshot": async () => {
      await warm.keep();
      // Takes as long as its clones do.
      void warm.refill();
    },
    "forgetting old sessions": async () => {
      const forgotten = await forgetHistory(historyTime());
      if (forgotten > 0) logger.info({ forgotten }, "old sessions forgotten");
    },
    "removing old evidence": async () => {
      const pruned = await pruneEvidence(paths, config.evidence, evidenceTime());
      if (pruned.length > 0) logger.info({ pruned }, "old evidence removed");
    },
  };
  return {
    /** Things on this host that belong to no live session, after the last look; NaN before the first, and when it is long ago. */
    leaks: (): number => (performance.now() - leaks.seenAt < STALE_MS ? leaks.count : Number.NaN),
    /** All of them, in order; one that fails keeps no other from being done. Never rejects. */
    tidy: async (): Promise<void> => {
      for (const [chore, run] of Object.entries(chores)) {
        const slowly = `${chore} takes very long: does a program of the host hang? What comes after it has to wait`;
        const slow = setTimeout(() => logger.error(slowly), SLOW_MS).unref();
        await run()
          .catch((error: unknown) => {
            const hint = error instanceof AppError ? error.hint : undefined;
            logger.error({ error: messageOf(error), hint }, `${chore} failed; tried again in a minute`);
          })
          .finally(() => clearTimeout(slow));
      }
    },
  };
};
