import type { Command } from "commander";
import type { Client } from "../../client/client.ts";
import type { Receipt, SessionState } from "../../contract/session.ts";
import { AppError } from "../../lib/errors.ts";
import type { CliContext } from "../context.ts";
import { verdictOf } from "../failure.ts";

interface Destroyed {
  sessionId: string;
  receipt?: Receipt;
  error?: unknown;
}

export const addDestroy = (program: Command, context: CliContext): void => {
  program
    .command("destroy [session]")
    .description("destroy a session and its microVM now")
    .option("--all", "destroy all sessions, and remove bridge, firewall table and resolver")
    .action(async (sessionId: string | undefined, options: { all?: boolean }) => {
      if ((sessionId === undefined) === !options.all) {
        const sentence = "Say which session to destroy, or --all, and not both.";
        throw new AppError("invalid", "usage", sentence, { hint: "sallyport ls lists them." });
      }
      const client = context.client();
      if (sessionId !== undefined) {
        const receipt = await client.destroy(sessionId);
        context.out.result(receipt, () => sentence({ sessionId, receipt }));
        return;
      }
      const results = await destroyAll(client, context);
      context.out.result(
        results.map(({ error, ...rest }) => ({ ...rest, ...(error ? { error: verdictOf(error) } : {}) })),
        () => (results.length === 0 ? "No sessions." : results.map(sentence)),
      );
      const failed = results.find(({ error }) => error !== undefined);
      if (failed) throw failed.error;
      // Nothing of ours is to be left on the host; the next session brings it back.
      if ((await client.vms()).every(({ sessionId }) => sessionId !== null)) await client.removeNetwork();
      else context.out.note(NETWORK_STAYS);
    });
};

const NETWORK_STAYS =
  "The network stays for microVMs of no session's: clones that wait for one (warm.pool), or what a warm snapshot is made of. They end with the controller.";

const OVER: SessionState[] = ["failed", "destroyed", "lost"];

/** One after the other, each even when another failed. */
const destroyAll = async (client: Client, { signal }: CliContext): Promise<Destroyed[]> => {
  const living = (await client.sessions()).filter(({ state }) => !OVER.includes(state));
  // A session that failed may still be at the removal of its microVM.
  const held = await client.vms();
  const sessionIds = new Set([...living, ...held].flatMap(({ sessionId }) => sessionId ?? []));
  const results: Destroyed[] = [];
  for (const sessionId of sessionIds) {
    try {
      results.push({ sessionId, receipt: await client.destroy(sessionId) });
    } catch (error) {
      signal.throwIfAborted();
      results.push({ sessionId, error });
    }
  }
  return results;
};

const sentence = ({ sessionId, receipt, error }: Destroyed): string => {
  if (!receipt) return `${sessionId} could not be destroyed: ${verdictOf(error).sentence}`;
  const gone = receipt.body.gone.map(({ kind, ref }) => `${kind} ${ref}`).join(", ");
  return `${sessionId} is destroyed. Seen gone: ${gone || "nothing, as it held nothing"}.`;
};
