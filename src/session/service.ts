/** What the outside may ask about sessions. Each live session has one driver; this is the register of drivers. */
import type { StartRequest, VmView } from "../contract/api.ts";
import { checkAuthorizeUrl } from "../handover/url-check.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { Sealed } from "../contract/guest.ts";
import type { Receipt, Warning } from "../contract/session.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import { readEvidence, type EvidenceFile } from "../diagnosis/evidence.ts";
import type { Image } from "../image/image.ts";
import { AppError, messageOf } from "../lib/errors.ts";
import { newPairingCode } from "../lib/id.ts";
import { admit } from "./admit.ts";
import { createChanges } from "./changes.ts";
import { type DriverDeps, SessionDriver } from "./driver.ts";
import { createMicrovms, type MicrovmDeps } from "../microvm/microvm.ts";
import { over, requireImage, requireRecipient, requireUsable, requireUserId, stopping } from "./refusals.ts";
import { isOver, isWhole, newSession, type Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";
import type { SessionChange, SessionStore } from "./store.ts";
import { createViewerSeats, hashPairingCode } from "./viewer.ts";

export interface ServiceDeps extends MicrovmDeps {
  store: SessionStore;
  providers: Map<string, ProviderRecipe>;
  findImage: () => Promise<Image | undefined>;
  receiptKey: DriverDeps["receiptKey"];
  logger: DriverDeps["logger"];
  /** Told how long each boot stage took, for metrics. */
  onStage: DriverDeps["onStage"];
  /** Told when a boot is over, for tracing. */
  onBooted: DriverDeps["onBooted"];
}

export interface Started {
  session: Session;
  vm: Microvm;
  pairingCode: string;
}

interface Life {
  driver: SessionDriver;
  over: Promise<void>;
}

export type SessionService = ReturnType<typeof createSessionService>;

export const createSessionService = (deps: ServiceDeps) => {
  const microvms = createMicrovms(deps);
  const lives = new Map<string, Life>();
  const seats = createViewerSeats(deps.store, (id) => {
    const state = lives.get(id)?.driver.session.state;
    return state !== undefined && isWhole(state);
  });
  const changes = createChanges();
  const starting = new Set<string>();
  /** Of sessions whose driver could not write down how they ended: the next one does. */
  const unwritten = new Map<string, SessionChange>();
  let isStopping = false;

  const driverDeps: DriverDeps = {
    ...deps,
    microvms,
    onChange: (session) => {
      if (!isWhole(session.state)) seats.disconnect(session.id);
      if (isOver(session.state)) seats.clear(session.id);
      changes.tell(session.id);
    },
    providerTitle: (name) => deps.providers.get(name)?.title ?? name,
  };

  /** Resolves when the session is over and nothing is left, or the controller stops; rejects when something is. */
  const drive = (driver: SessionDriver, image?: Image): Life => {
    const { id } = driver.session;
    const over = driver.run(image).finally(() => {
      lives.delete(id);
      if (driver.ending && driver.session.receipt === null) unwritten.set(id, driver.ending);
      else unwritten.delete(id);
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
   * gets one. Undefined when there is nothing to do. What is read before the register is looked at is read again by
   * nobody: no await may stand between the look and `drive`.
   */
  const lifeOf = async (id: string): Promise<Life | undefined> => {
    const session = await deps.store.get(id);
    const vm = await deps.vms.ofSession(id);
    const life = lives.get(id);
    if (life || starting.has(id) || !session || !vm || session.receipt) return life;
    return drive(new SessionDriver(driverDeps, session, vm, unwritten.get(id)));
  };

  const get = async (id: string): Promise<Session> => {
    const session = lives.get(id)?.driver.session ?? (await deps.store.get(id));
    if (!session) {
      throw new AppError("not-found", "no-session", "There is no such session.", { hint: "sallyport ls shows yours." });
    }
    return session;
  };

  const liveDriver = async (id: string): Promise<SessionDriver> => {
    // After a restart of the controller nobody may have taken it up yet.
    const driver = (await lifeOf(id))?.driver;
    if (driver && !isOver(driver.session.state)) return driver;
    throw over(await get(id));
  };

  return {
    seats,
    get,
    list: deps.store.list,
    microvmOf: deps.vms.ofSession,

    /** As `seats.pair`; a wrong code is news to whoever follows the session: it may not have been them. */
    pair: (id: string, code: string): Promise<string> =>
      seats.pair(id, code).catch((error: unknown) => {
        changes.tell(id);
        throw error;
      }),

    wrongPairingCodes: deps.store.pairingFailures,

    /** What no record has: `warning` is what is in its guest's way now, null when nothing is or nobody looks any more. */
    liveOf: (id: string): { hasViewer: boolean; isCaught: boolean; warning: Warning | null } => {
      const driver = lives.get(id)?.driver;
      return {
        hasViewer: seats.hasViewer(id),
        isCaught: driver?.handover.isCaught ?? false,
        warning: driver?.looks.warning ?? null,
      };
    },

    /** Answers as soon as the address is leased; the boot goes on. `userId` has been authorised by the caller. */
    start: async (request: StartRequest, userId: string, startedBy: string): Promise<Started> => {
      if (isStopping) throw stopping();
      requireUserId(userId);
      requireUsable(deps.providers.get(request.provider), request.provider);
      const image = await requireImage(deps);
      const session = newSession(request, { userId, startedBy, ttlSec: deps.config.session.ttlSec });
      const pairingCode = newPairingCode();
      const pairingHash = hashPairingCode(session.id, pairingCode);
      // Until it has its driver, it must not look like one that was left without.
      starting.add(session.id);
      try {
        const { config, vmm } = deps;
        const vm = await admit(deps.db, { session, pairingHash, image, backend: vmm.name, config });
        // Admitted while the controller was stopping: the next one finds it and ends it.
        if (isStopping) throw stopping();
        drive(new SessionDriver(driverDeps, session, vm), image);
        return { session, vm, pairingCode };
      } finally {
        starting.delete(session.id);
      }
    },

    /** Sends the tool's URL to the browser. Throws 422 `url-…` when a check fails; nothing is opened then. */
    open: async (id: string, url: string, callback?: { port: number; path: string }): Promise<void> => {
      const driver = await liveDriver(id);
      const recipe = requireUsable(deps.providers.get(driver.session.provider), driver.session.provider);
      const checked = checkAuthorizeUrl(url, recipe, callback);
      requireRecipient(driver.session, checked);
      await driver.handover.open(checked);
    },

    /** The sealed box, until it was answered; undefined while it is awaited. Throws 409 without a key, 410 when answered or over. */
    credentials: async (id: string): Promise<Sealed | undefined> => {
      const session = await get(id);
      if (session.recipientKey === null) {
        throw new AppError(
          "conflict",
          "no-recipient-key",
          "This session was started without a recipientKey: nothing can be handed over.",
          {
            hint: "Start a session with recipientKey (sallyport login does) to receive the result.",
          },
        );
      }
      if (session.answeredAt !== null) {
        throw new AppError("gone", "credential-taken", "The result was fetched and answered already.");
      }
      const driver = lives.get(id)?.driver;
      if (isOver(session.state) || !driver) throw over(session);
      return driver.handover.take();
    },

    answer: async (id: string, sealedAnswer: string): Promise<void> =>
      (await liveDriver(id)).handover.answer(sealedAnswer),

    viewerConnected: async (id: string): Promise<void> => (await liveDriver(id)).viewerConnected(),

    /**
     * Ends a session and waits until nothing of it is left; a session that is over answers the receipt it has. Throws
     * what keeps something from being removed.
     */
    destroy: async (id: string): Promise<Receipt> => {
      const session = await get(id);
      if (session.receipt) return session.receipt;
      const life = await lifeOf(id);
      life?.driver.end("destroyed-by-request");
      await life?.over;
      const { receipt } = await get(id);
      if (receipt) return receipt;
      throw stopping();
    },

    /** A look at the session's microVM now; undefined when it has none any more, or none yet. */
    diagnose: async (id: string): Promise<Examination | undefined> => {
      const { state } = await get(id);
      return isWhole(state) ? lives.get(id)?.driver.looks.diagnose() : undefined;
    },

    /** What there is to know of a session, alive or over. Throws AppError `no-evidence`. */
    evidence: async (id: string): Promise<EvidenceFile[]> => {
      const session = await get(id);
      const driver = lives.get(id)?.driver;
      // What was kept of it before it is taken apart is whole.
      const files =
        (isWhole(session.state) ? await driver?.looks.evidence() : undefined) ?? (await readEvidence(deps.paths, id));
      if (files) return files;
      throw new AppError("not-found", "no-evidence", "Nothing is kept of this session.", {
        hint: "Evidence is kept for a few days, and within a size for all sessions (evidence.keepDays, evidence.maxMib).",
      });
    },

    watch: changes.watch,

    /**
     * Gives every unfinished session without a driver one: after a restart a living microVM is adopted, the rest is
     * brought to its end. Called at start and by the reaper.
     */
    resume: async (): Promise<string[]> => {
      const resumed: string[] = [];
      for (const { id } of await deps.store.unfinished()) {
        if (!lives.has(id) && (await lifeOf(id))) resumed.push(id);
      }
      return resumed;
    },

    /** Whether somebody looks after what the microVM's owner still holds. */
    isDriven: ({ sessionId }: Pick<VmView, "sessionId">): boolean =>
      sessionId !== null && (lives.has(sessionId) || starting.has(sessionId)),

    vms: async (): Promise<VmView[]> => {
      const held = await deps.ledger.held();
      return (await deps.vms.held()).map((vm) => {
        const holds = held.filter((entry) => entry.vmId === vm.id).map(({ kind, ref }) => ({ kind, ref }));
        return { ...vm, vmId: vm.id, pid: vm.process?.pid ?? null, holds };
      });
    },

    /** Stops every driver and leaves the microVMs running. Resolves when none of them will write any more. */
    stop: async (): Promise<void> => {
      isStopping = true;
      for (const { driver } of lives.values()) driver.detach();
      await Promise.allSettled([...lives.values()].map(({ over }) => over));
    },
  };
};
