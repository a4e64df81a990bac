/** What the outside may ask about sessions. */
import type { StartRequest, VmView } from "../contract/api.ts";
import { checkAuthorizeUrl } from "../handover/url-check.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import type { Sealed } from "../contract/guest.ts";
import type { Receipt, Warning } from "../contract/session.ts";
import type { Examination } from "../diagnosis/diagnosis.ts";
import { readEvidence, type EvidenceFile } from "../diagnosis/evidence.ts";
import type { Image } from "../image/image.ts";
import { AppError } from "../lib/errors.ts";
import { newPairingCode } from "../lib/id.ts";
import { admit } from "./admit.ts";
import { createChanges } from "./changes.ts";
import type { DriverDeps, SessionDriver } from "./driver.ts";
import { createLives } from "./lives.ts";
import type { MicrovmDeps } from "../microvm/microvm.ts";
import {
  alreadyAnswered,
  noRecipient,
  over,
  requireImage,
  requireRecipient,
  requireUsable,
  requireUserId,
  stopping,
} from "./refusals.ts";
import { isOver, isWhole, newSession, type Session } from "./session.ts";
import type { Microvm } from "../microvm/store.ts";
import type { SessionStore } from "./store.ts";
import { createViewerSeats, hashPairingCode } from "./viewer.ts";

export interface ServiceDeps extends MicrovmDeps {
  store: SessionStore;
  providers: Map<string, ProviderRecipe>;
  findImage: () => Promise<Image | undefined>;
  hostId: DriverDeps["hostId"];
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

export type SessionService = ReturnType<typeof createSessionService>;

export const createSessionService = (deps: ServiceDeps) => {
  const changes = createChanges();
  const isScreenOpen = (id: string): boolean => {
    const state = lives.driverOf(id)?.session.state;
    return state === undefined || isWhole(state);
  };
  // A wrong code is news to whoever follows the session: it may not have been them.
  const seats = createViewerSeats(deps.store, isScreenOpen, changes.tell);
  const lives = createLives({
    ...deps,
    onChange: (session) => {
      if (!isWhole(session.state)) seats.disconnect(session.id);
      if (isOver(session.state)) seats.clear(session.id);
      changes.tell(session.id);
    },
    providerTitle: (name) => deps.providers.get(name)?.title ?? name,
  });

  const get = async (id: string): Promise<Session> => {
    const session = lives.driverOf(id)?.session ?? (await deps.store.get(id));
    if (!session) {
      throw new AppError("not-found", "no-session", "There is no such session.", { hint: "sallyport ls shows yours." });
    }
    return session;
  };

  const liveDriver = async (id: string): Promise<SessionDriver> => {
    // After a restart of the controller nobody may have taken it up yet.
    const driver = (await lives.find(id))?.driver;
    if (driver && !isOver(driver.session.state)) return driver;
    throw over(await get(id));
  };

  return {
    seats,
    get,
    list: deps.store.list,
    microvmOf: deps.vms.ofSession,

    wrongPairingCodes: deps.store.pairingFailures,

    /** What no record has: `warning` is what is in its guest's way now, null when nothing is or nobody looks any more. */
    liveOf: (id: string): { hasViewer: boolean; isCaught: boolean; warning: Warning | null } => {
      const driver = lives.driverOf(id);
      return {
        hasViewer: seats.hasViewer(id),
        isCaught: driver?.handover.isCaught ?? false,
        warning: driver?.looks.warning ?? null,
      };
    },

    /** Answers as soon as the address is leased; the boot goes on. `userId` has been authorised by the caller. */
    start: async (request: StartRequest, userId: string, startedBy: string): Promise<Started> => {
      requireUserId(userId);
      requireUsable(deps.providers.get(request.provider), request.provider);
      const image = await requireImage(deps);
      const { config, vmms } = deps;
      const session = newSession(request, { userId, startedBy, ttlSec: config.session.ttlSec });
      const pairingCode = newPairingCode();
      const pairingHash = hashPairingCode(session.id, pairingCode);
      const vm = await lives.begin(session, image, () =>
        admit(deps.db, { session, pairingHash, image, backend: vmms.current.name, config }),
      );
      return { session, vm, pairingCode };
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
      if (session.recipientKey === null) throw noRecipient();
      if (session.answeredAt !== null) throw alreadyAnswered();
      return (await liveDriver(id)).handover.take();
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
      const life = await lives.find(id);
      life?.driver.end("destroyed-by-request");
      await life?.over;
      const { receipt } = await get(id);
      if (receipt) return receipt;
      throw stopping();
    },

    /** A look at the session's microVM now; undefined when it has none any more, or none yet. */
    diagnose: async (id: string): Promise<Examination | undefined> => {
      const { state } = await get(id);
      return isWhole(state) ? (await lives.find(id))?.driver.looks.diagnose() : undefined;
    },

    /** What there is to know of a session, alive or over. Throws AppError `no-evidence`. */
    evidence: async (id: string): Promise<EvidenceFile[]> => {
      const session = await get(id);
      // What was kept of it before it is taken apart is whole.
      const driver = isWhole(session.state) ? (await lives.find(id))?.driver : undefined;
      const files = (await driver?.looks.evidence()) ?? (await readEvidence(deps.paths, id));
      if (files) return files;
      throw new AppError("not-found", "no-evidence", "Nothing is kept of this session.", {
        hint: "Evidence is kept for a few days, and within a size for all sessions (evidence.keepDays, evidence.maxMib).",
      });
    },

    watch: changes.watch,

    resume: lives.resume,
    stop: lives.stop,

    /** Whether somebody looks after what the microVM's owner still holds. */
    isDriven: ({ sessionId }: Pick<VmView, "sessionId">): boolean => sessionId !== null && lives.isDriven(sessionId),

    vms: async (): Promise<VmView[]> => {
      const held = await deps.ledger.held();
      return (await deps.vms.held()).map((vm) => {
        const holds = held.filter((entry) => entry.vmId === vm.id).map(({ kind, ref }) => ({ kind, ref }));
        return { ...vm, vmId: vm.id, pid: vm.process?.pid ?? null, holds };
      });
    },
  };
};
