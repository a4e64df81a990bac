/** Looks after a running guest: its process, its /health over the network every two seconds, its console's size. */
import { setTimeout as sleep } from "node:timers/promises";
import { GUEST_PORTS } from "../contract/guest.ts";
import { boundConsole } from "../vmm/console.ts";
import { failWhenExited, failWhenFlooding, MicrovmFailure, onConsole } from "./failure.ts";
import type { Lookout } from "./lookout.ts";
import { probeHealth } from "./probes.ts";
import type { Logger } from "../lib/logger.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import type { StageContext } from "./stages.ts";

const INTERVAL_MS = 2000;

/** A guest and who is told of it; its boot is watched with the same. */
export interface WatchOptions extends StageContext {
  process: ProcessIdentity;
  signal: AbortSignal;
  logger: Logger;
  lookout: Lookout;
}

/** From one question without an answer to the next. */
const RETRY_MS = 500;
/** Questions in a row without an answer: one alone may be a busy guest's hiccup. */
const SLOW_AFTER = 2;

/** Never resolves. Throws MicrovmFailure when the guest is lost, or the signal's reason. */
export const watchGuest = async (options: WatchOptions): Promise<never> => {
  let lastAnswer = performance.now();
  let lastSeen: string | undefined;
  let unanswered = 0;
  for (;;) {
    await sleep(unanswered === 0 ? INTERVAL_MS : RETRY_MS, undefined, { signal: options.signal });
    await failWhenExited(options.process, null);
    failWhenFlooding(options.channel, null);
    await onConsole(boundConsole(options.consoleFile), null);
    const seen = await probeHealth(options.address, INTERVAL_MS);
    if (seen !== lastSeen) options.logger.info({ health: seen ?? "ok" }, "guest's /health");
    lastSeen = seen;
    if (seen === undefined) {
      lastAnswer = performance.now();
      unanswered = 0;
      options.lookout.fine();
      continue;
    }
    unanswered++;
    const deadline = lastAnswer + options.unreachableSec * 1000;
    if (performance.now() >= deadline) throw unreachable(options, seen);
    if (unanswered >= SLOW_AFTER) options.lookout.slow(deadline);
  }
};

const unreachable = ({ unreachableSec }: WatchOptions, seen: string): MicrovmFailure =>
  new MicrovmFailure(null, {
    code: "guest-unreachable",
    sentence: `The browser's virtual machine has not answered over its network for ${unreachableSec} s.`,
    hint: "Start a new sign-in; if it happens again, read the evidence: sallyport show <session>.",
    evidence: [`last seen: http://<guest>:${GUEST_PORTS.health}/health: ${seen}`],
  });
