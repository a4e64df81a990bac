/** The register of drivers: each session of which something is left has one, whichever controller began it. */
import type { Image } from "../image/store.ts";
import { messageOf } from "../lib/errors.ts";
import { endingOf } from "../microvm/microvm.ts";
import type { PoolMember } from "../microvm/pool.ts";
import type { Microvm } from "../microvm/store.ts";
import { type DriverDeps, SessionDriver } from "./driver.ts";
import { stopping } from "./refusals.ts";
import { asItEnds, type Session } from "./session.ts";
import type { SessionChange } from "./store.ts";

export interface Life {
  driver: SessionDriver;
  /** Resolves when the session is over and nothing is left, or the controller stops; rejects when something is. */
  over: Promise<void>;
}

export type Lives = ReturnType<typeof createLives>;

export const createLives = (deps: DriverDeps) => {
  const lives = new Map<string, Life>();
  const starting = new Set<string>();
  /** Of sessions whose driver could not write down how they ended: the next one does. */
  const unwritten = new Map<string, SessionChange>();
  let isStopping = false;

  const drive = (driver: SessionDriver, image?: Image, waiting?: PoolMember): Life => {
    const { id } = driver.session;
    const over = driver.run(image, waiting).finally(() => {
      lives.delete(id);
      if (!driver.ending || driver.session.receipt) return void unwritten.delete(id);
      unwritten.set(id, driver.ending);
      deps.onChange(driver.session);
    });
    const life = { driver, over };
    lives.set(id, life);
    life.over.catch((error: unknown) =>
      deps.logger.error({ sessionId: id, error: messageOf(error) }, "not all could be removed; the reaper tries again"),
    );
    return life;
  };

  /**
   * The life of a session that has no receipt yet; one that has no driver, because its controller died or its end failed,
   * gets one. Undefined when there is nothing to do. Throws AppError `backend-unknown`. What is read before the register is looked at is read again by
   * nobody: no await may stand between the look and `drive`.
   */
  const find = async (id: string): Promise<Life | undefined> => {
    const session = await deps.store.get(id);
    const vm = await deps.vms.ofSession(id);
    // One that only another version can end is left to it, and its session stays as it is.
    if (vm && session?.receipt === null) await endingOf(deps, vm);
    const life = lives.get(id);
    if (life || starting.has(id) || !session || !vm || session.receipt) return life;
    return drive(new SessionDriver(deps, session, vm, unwritten.get(id)));
  };

  return {
    find,

    /** The driver of a session that is looked after already. */
    driverOf: (id: string): SessionDriver | undefined => lives.get(id)?.driver,

    /** As it is now, given its record: also how it ended, where that could not be written down. */
    current: (stored: Session): Session =>
      lives.get(stored.id)?.driver.session ?? asItEnds(stored, unwritten.get(stored.id)),

    /** `admit` writes the session down with its microVM, which may be one that `waited`. Throws what it throws, and `stopping` (503). */
    begin: async (
      session: Session,
      image: Image,
      admit: () => Promise<Microvm>,
      waited?: PoolMember,
    ): Promise<Microvm> => {
      if (isStopping) throw stopping();
      // Until it has its driver, it must not look like one that was left without.
      starting.add(session.id);
      try {
        const vm = await admit();
        // Admitted while the controller was stopping: the next one finds it and ends it.
        if (isStopping) throw stopping();
        drive(new SessionDriver(deps, session, vm), image, waited);
        return vm;
      } finally {
        starting.delete(session.id);
      }
    },

    /**
     * Gives every unfinished session without a driver one: after a restart a living microVM is adopted, the rest is
     * brought to its end. Called at start and by the reaper; one that cannot be taken up keeps no other from it.
     */
    resume: async (): Promise<string[]> => {
      const resumed: string[] = [];
      for (const id of await deps.store.unfinished()) {
        try {
          if (!lives.has(id) && (await find(id))) resumed.push(id);
        } catch (error) {
          deps.logger.error({ sessionId: id, error: messageOf(error) }, "a session cannot be taken up");
        }
      }
      return resumed;
    },

    isDriven: (id: string): boolean => lives.has(id) || starting.has(id),

    /** Stops every driver and leaves the microVMs running. Resolves when none of them will write any more. */
    stop: async (): Promise<void> => {
      isStopping = true;
      for (const { driver } of lives.values()) driver.detach();
      await Promise.allSettled([...lives.values()].map(({ over }) => over));
    },
  };
};
