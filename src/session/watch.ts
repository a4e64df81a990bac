/** Looks after a running guest: its process, its /health over the network every two seconds, its console's size. */
import { setTimeout as sleep } from "node:timers/promises";
import { boundConsole } from "../vmm/console.ts";
import { failWhenExited, newVerdict, SessionFailure } from "./boot.ts";
import { probeHealth } from "./probes.ts";
import type { Logger } from "../lib/logger.ts";
import type { ProcessIdentity } from "../lib/process.ts";
import type { StageContext } from "./stages.ts";

/** The documents' "every few seconds". */
const INTERVAL_MS = 2000;

export interface WatchOptions extends StageContext {
  process: ProcessIdentity;
  signal: AbortSignal;
  logger: Logger;
}

/** Never resolves. Throws SessionFailure when the guest is lost, or the signal's reason. */
export const watchGuest = async (options: WatchOptions): Promise<never> => {
  let lastAnswer = performance.now();
  let lastSeen: string | undefined;
  for (;;) {
    await sleep(INTERVAL_MS, undefined, { signal: options.signal });
    await failWhenExited(options.process, null);
    await boundConsole(options.consoleFile);
    const seen = await probeHealth(options.address, INTERVAL_MS);
    if (seen !== lastSeen) options.logger.info({ health: seen ?? "ok" }, "guest's /health");
    lastSeen = seen;
    if (seen === undefined) lastAnswer = performance.now();
    else if (performance.now() - lastAnswer >= options.unreachableSec * 1000) throw unreachable(options, seen);
  }
};

const unreachable = ({ unreachableSec }: WatchOptions, seen: string): SessionFailure =>
  new SessionFailure(
    newVerdict(null, {
      code: "guest-unreachable",
      sentence: `The browser's virtual machine has not answered over its network for ${unreachableSec} s.`,
      hint: "Start a new sign-in; if it happens again, read the evidence: sallyport show <session>.",
      evidence: [`last seen: http://<guest>:8080/health: ${seen}`],
    }),
    { isSymptom: true },
  );
