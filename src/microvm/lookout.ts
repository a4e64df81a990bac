/** Names what is in a guest's way while its deadline still runs: looks again and again for as long as something is slow. */
import type { Warning } from "../contract/session.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import { isMinor } from "../diagnosis/rules.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";

export type Lookout = ReturnType<typeof createLookout>;

/** Of a guest that nobody waits for who could be told. */
export const NOBODY_TOLD: Pick<Lookout, "slow" | "fine"> = { slow: () => {}, fine: () => {} };

export interface LookoutOptions {
  /** One look; not asked again before it has answered. */
  look: () => Promise<Examination>;
  /** Told when the cause changes; null when there is none any more, or none known. */
  onWarning: (warning: Warning | null) => void;
  logger: Logger;
}

/** From the end of one look to the next: each costs the guest, which is slow already, some of its time. */
const INTERVAL_MS = 10_000;
/** Just before a deadline a look would only be in the way of the one that the verdict is made of. */
const LAST_LOOK_MS = 8_000;

export const createLookout = ({ look, onWarning, logger }: LookoutOptions) => {
  /** The slowness that is being looked into; undefined while all is fine. What another one's look sees does not count. */
  let slowness: symbol | undefined;
  let isLooking = false;
  let nextLookAt = 0;
  let current: Warning | null = null;

  const say = (warning: Warning | null): void => {
    if (warning?.code === current?.code) return;
    current = warning;
    if (warning) logger.warn({ warning: warning.code }, warning.sentence);
    onWarning(warning);
  };

  const lookInto = async (mine: symbol): Promise<void> => {
    isLooking = true;
    try {
      const found = await look();
      if (slowness === mine) say(warningOf(found));
    } catch (error) {
      logger.error({ error: messageOf(error) }, "the microVM could not be examined");
    } finally {
      isLooking = false;
      nextLookAt = slowness === mine ? performance.now() + INTERVAL_MS : 0;
    }
  };

  return {
    /**
     * Something takes longer than it should, and has until `deadline` (of `performance.now()`). Called as often as one likes; never
     * waits, never throws.
     */
    slow: (deadline: number): void => {
      slowness ??= Symbol("slowness");
      const now = performance.now();
      if (isLooking || now < nextLookAt || deadline - now < LAST_LOOK_MS) return;
      void lookInto(slowness);
    },
    /** All is as it should be, or nothing is to be looked at any more. */
    fine: (): void => {
      slowness = undefined;
      nextLookAt = 0;
      say(null);
    },
  };
};

/** Only a cause that a rule knows, and that can keep a guest from going on. */
const warningOf = ({ facts, diagnosis: { cause, isProblem } }: Examination): Warning | null =>
  isProblem && isMinor(cause.code) === false ? { ...cause, at: facts.at } : null;
