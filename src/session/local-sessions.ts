/** The sessions of this host: what the API may ask of them, and what the controller does with them by itself. */
import type { SessionView, VmView } from "../contract/api.ts";
import type { ProviderRecipe } from "../contract/provider.ts";
import { packEvidence } from "../diagnosis/evidence-archive.ts";
import { readEvidence } from "../diagnosis/evidence.ts";
import { createEvidenceTurns } from "./evidence-turns.ts";
import { checkAuthorizeUrl } from "../handover/url-check.ts";
import type { Image } from "../image/store.ts";
import { AppError } from "../lib/errors.ts";
import { newPairingCode } from "../lib/id.ts";
import type { Pool, PoolMember } from "../microvm/pool.ts";
import type { Microvm } from "../microvm/store.ts";
import { admit } from "./admit.ts";
import { createChanges } from "./changes.ts";
import { createConsoles } from "./console.ts";
import type { DriverDeps, SessionDriver } from "./driver.ts";
import { createLives, type Lives } from "./lives.ts";
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
import type { Sessions } from "./sessions.ts";
import { viewOf } from "./view.ts";
import { createViewerSeats, hashPairingCode } from "./viewer.ts";
import { createViewers } from "./viewers.ts";

export interface LocalDeps extends Omit<DriverDeps, "onChange" | "providerTitle"> {
  providers: Map<string, ProviderRecipe>;
  findImage: () => Promise<Image | undefined>;
  pool: Pick<Pool, "take" | "giveBack" | "handedOver">;
}

export interface LocalSessions extends Sessions, Pick<Lives, "resume" | "stop"> {
  /** Whether somebody looks after what the microVM's owner still holds. */
  isDriven(vm: Pick<VmView, "sessionId">): boolean;
}

export const createLocalSessions = (deps: LocalDeps): LocalSessions => {
  const { config, hostId, paths, providers, store, vms } = deps;
  const titleOf = (provider: string): string => providers.get(provider)?.title ?? provider;
  const changes = createChanges();
  const isScreenOpen = (id: string): boolean => {
    const state = lives.driverOf(id)?.session.state;
    return state === undefined || isWhole(state);
  };
  // A wrong code is news to whoever follows the session: it may not have been them.
  const seats = createViewerSeats(store, isScreenOpen, changes.tell);
  const evidenceTurn = createEvidenceTurns();
  const lives = createLives({
    ...deps,
    onChange: (session) => {
      if (!isWhole(session.state)) seats.disconnect(session.id);
      if (isOver(session.state)) seats.clear(session.id);
      changes.tell(session.id);
    },
    providerTitle: titleOf,
  });

  const get = async (id: string): Promise<Session> => {
    const session = lives.driverOf(id)?.session ?? (await store.get(id));
    if (session) return lives.current(session);
    throw new AppError("not-found", "no-session", "There is no such session.", { hint: "sallyport ls shows yours." });
  };

  /** After a restart of the controller nobody may have taken it up yet. */
  const liveDriver = async (id: string): Promise<SessionDriver> => {
    const driver = (await lives.find(id))?.driver;
    if (driver && !isOver(driver.session.state)) return driver;
    throw over(await get(id));
  };

  /** While its microVM is not being taken apart. */
  const looksAt = async (id: string): Promise<SessionDriver["looks"] | undefined> =>
    isWhole((await get(id)).state) ? (await lives.find(id))?.driver.looks : undefined;

  /** What no record has. */
  const liveOf = (id: string) => {
    const driver = lives.driverOf(id);
    return {
      hostId,
      hasViewer: seats.hasViewer(id),
      isCaught: driver?.handover.isCaught ?? false,
      warning: driver?.looks.warning ?? null,
    };
  };

  const view = async (session: Session): Promise<SessionView> =>
    viewOf(session, await vms.ofSession(session.id), {
      wrongPairingCodes: await store.pairingFailures(session.id),
      ...liveOf(session.id),
    });

  /** Unless it is on record as a session's, which could be written and not said. */
  const giveBack = async (member: PoolMember): Promise<void> => {
    const sessionId = (await vms.get(member.vm.id))?.sessionId;
    if (sessionId === null) deps.pool.giveBack(member);
    else deps.pool.handedOver(member);
  };

  return {
    ...createConsoles({ paths, microvmOf: vms.ofSession, isOver: async (id) => isOver((await get(id)).state) }),

    viewers: createViewers({
      seats,
      get,
      microvmOf: vms.ofSession,
      titleOf,
      warningOf: (id) => liveOf(id).warning,
      onConnected: async (id) => (await liveDriver(id)).viewerConnected(),
    }),

    start: async (request, { userId, keyId }) => {
      requireUserId(userId);
      requireUsable(providers.get(request.provider), request.provider);
      const image = requireImage(await deps.findImage(), config.image);
      const { backend, accel, why } = await deps.vmms.choose(image.vmlinux);
      const chosen = { backend: backend.name, accel, why };
      const session = newSession(request, { userId, startedBy: keyId, ttlSec: config.session.ttlSec });
      const pairingCode = newPairingCode();
      const pairingHash = hashPairingCode(session.id, pairingCode);
      const waited = await deps.pool.take(image, backend.name);
      const letIn = async (): Promise<Microvm> => {
        const admitted = await admit(deps.db, { session, pairingHash, image, chosen, config, waiting: waited?.vm });
        if (waited) deps.pool.handedOver(waited);
        return admitted;
      };
      const vm = await lives.begin(session, image, letIn, waited).catch(async (error: unknown) => {
        if (waited) await giveBack(waited);
        throw error;
      });
      const { id: sessionId, provider, expiresAt } = session;
      return { sessionId, provider, userId, browserIP: vm.address, pairingCode, expiresAt };
    },

    get: async (id) => {
      const session = await get(id);
      return { view: await view(session), startedBy: session.startedBy, receipt: session.receipt };
    },

    list: async (filter) =>
      (await store.list(filter)).map(({ session, vm, wrongPairingCodes }) =>
        viewOf(lives.current(session), vm, { wrongPairingCodes, ...liveOf(session.id) }),
      ),

    watch: (id, signal) => {
      // Watched first, read second: no change falls between.
      const news = changes.watch(id, signal);
      return (async function* () {
        for await (const _ of news) {
          const session = await get(id);
          yield await view(session);
          if (session.receipt || session.state === "lost") return;
        }
      })();
    },

    open: async (id, { url, callback }) => {
      const { session, handover } = await liveDriver(id);
      const recipe = requireUsable(providers.get(session.provider), session.provider);
      const checked = checkAuthorizeUrl(url, recipe, callback);
      requireRecipient(session, checked);
      await handover.open(checked);
    },

    credentials: async (id) => {
      const { recipientKey, answeredAt } = await get(id);
      if (recipientKey === null) throw noRecipient();
      if (answeredAt !== null) throw alreadyAnswered();
      return (await liveDriver(id)).handover.take();
    },

    answer: async (id, sealedAnswer) => (await liveDriver(id)).handover.answer(sealedAnswer),

    end: async (id) => {
      const session = await get(id);
      if (session.receipt) return session.receipt;
      const life = await lives.find(id);
      life?.driver.end("destroyed-by-request");
      await life?.over;
      const { receipt } = await get(id);
      if (receipt) return receipt;
      throw stopping();
    },

    diagnose: async (id) => (await (await looksAt(id))?.diagnose()) ?? { diagnosis: null, facts: null },

    evidence: (id) =>
      evidenceTurn(id, async () => {
        // What was kept of it before it is taken apart is whole.
        const files = (await (await looksAt(id))?.evidence()) ?? (await readEvidence(paths, id));
        if (files) return packEvidence(id, files);
        throw new AppError("not-found", "no-evidence", "Nothing is kept of this session.", {
          hint: "Evidence is kept for a few days, and within a size for all sessions (evidence.keepDays, evidence.maxMib).",
        });
      }),

    vms: async () => {
      const held = await deps.ledger.held();
      return (await vms.held()).map((vm) => {
        const holds = held.filter((entry) => entry.vmId === vm.id).map(({ kind, ref }) => ({ kind, ref }));
        return { ...vm, vmId: vm.id, pid: vm.process?.pid ?? null, holds };
      });
    },

    resume: lives.resume,
    stop: lives.stop,
    isDriven: ({ sessionId }) => sessionId !== null && lives.isDriven(sessionId),
  };
};
