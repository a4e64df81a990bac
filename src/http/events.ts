import type { SessionView } from "../contract/api.ts";
import type { SessionService } from "../session/service.ts";
import type { Session } from "../session/session.ts";

/**
 * Server-sent events: the whole view now and after each change, until the session has its receipt or is lost. Each event carries all
 * there is to know, so a slow reader misses some and is right all the same.
 */
export const sessionEvents = (
  sessions: SessionService,
  id: string,
  view: (session: Session) => Promise<SessionView>,
  signal: AbortSignal,
): AsyncGenerator<string> => {
  // Watched first, read second: no change falls between.
  const changes = sessions.watch(id, signal);
  return (async function* () {
    let last = "";
    for await (const _ of changes) {
      const session = await sessions.get(id);
      const event = `data: ${JSON.stringify(await view(session))}\n\n`;
      if (event !== last) yield event;
      last = event;
      if (session.receipt || session.state === "lost") return;
    }
  })();
};
