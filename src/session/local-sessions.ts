/** The sessions of this host, as the API sees them. */
import type { SessionView } from "../contract/api.ts";
import { packEvidence } from "../diagnosis/evidence-archive.ts";
import type { DataPaths } from "../lib/paths.ts";
import { createConsoles } from "./console.ts";
import type { SessionService } from "./service.ts";
import { isOver, type Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import { viewOf } from "./view.ts";
import { createViewers } from "./viewers.ts";

interface LocalDeps {
  service: SessionService;
  paths: DataPaths;
  hostId: string;
  /** The provider's name for people. */
  titleOf: (provider: string) => string;
}

export const localSessions = ({ service, paths, hostId, titleOf }: LocalDeps): Sessions => {
  const view = async (session: Session): Promise<SessionView> =>
    viewOf(session, await service.microvmOf(session.id), {
      hostId,
      wrongPairingCodes: await service.wrongPairingCodes(session.id),
      ...service.liveOf(session.id),
    });
  const microvmOf = async (id: string) => service.microvmOf(id);

  return {
    ...createConsoles({ paths, microvmOf, isOver: async (id) => isOver((await service.get(id)).state) }),
    viewers: createViewers(service, titleOf),

    start: async (request, { userId, keyId }) => {
      const { session, vm, pairingCode } = await service.start(request, userId, keyId);
      const { id: sessionId, provider, expiresAt } = session;
      return { sessionId, provider, userId, browserIP: vm.address, pairingCode, expiresAt };
    },

    get: async (id) => {
      const session = await service.get(id);
      return { view: await view(session), startedBy: session.startedBy, receipt: session.receipt };
    },

    list: async (filter) =>
      (await service.list(filter)).map(({ session, vm, wrongPairingCodes }) =>
        viewOf(session, vm, { hostId, wrongPairingCodes, ...service.liveOf(session.id) }),
      ),

    watch: (id, signal) => {
      // Watched first, read second: no change falls between.
      const changes = service.watch(id, signal);
      return (async function* () {
        for await (const _ of changes) {
          const session = await service.get(id);
          yield await view(session);
          if (session.receipt || session.state === "lost") return;
        }
      })();
    },

    open: (id, { url, callback }) => service.open(id, url, callback),
    credentials: service.credentials,
    answer: service.answer,
    end: service.destroy,
    diagnose: async (id) => (await service.diagnose(id)) ?? { diagnosis: null, facts: null },
    evidence: async (id) => packEvidence(id, await service.evidence(id)),
    vms: service.vms,
  };
};
