/** What a session leaves to be read: the guest's console, and everything else in one archive. */
import { createReadStream } from "node:fs";
import { z } from "zod";
import { packEvidence } from "../../diagnosis/evidence-archive.ts";
import { readKeptConsole } from "../../diagnosis/evidence.ts";
import { isOver } from "../../session/session.ts";
import { followConsole } from "../../vmm/console-follow.ts";
import { consoleSize } from "../../vmm/console.ts";
import { isStillAllowed, sessionOf } from "../auth.ts";
import { sessionParams as params, type App, type HttpContext } from "../context.ts";

const querystring = z.strictObject({ follow: z.enum(["true", "false"]).default("false") });
const tags = ["sessions"];
/** What terminals have always taken for "wait a little": a byte that shows nothing. */
const NOTHING = "\u0000";

export const registerEvidence = (app: App, { keys, paths, sessions, stream }: HttpContext): void => {
  app.get(
    "/api/auth/session/:id/evidence",
    {
      config: { access: "session" },
      schema: { params, summary: "Everything known of a session, alive or over: a tar, compressed with zstd", tags },
    },
    async (request, reply) => {
      const { id } = sessionOf(request);
      const archive = await packEvidence(id, await sessions.evidence(id));
      return reply
        .headers({ "content-disposition": `attachment; filename="${id}.tar.zst"`, "cache-control": "no-store" })
        .type("application/zstd")
        .send(archive);
    },
  );

  app.get(
    "/api/auth/session/:id/console",
    {
      config: { access: "session" },
      schema: { params, querystring, summary: "The guest's console; with follow until the session is over", tags },
    },
    async (request, reply) => {
      const { id } = sessionOf(request);
      if (request.query.follow === "true") {
        return stream(reply, {
          sessionId: id,
          contentType: "text/plain; charset=utf-8",
          heartbeat: NOTHING,
          pieces: (signal) => follow(id, signal),
          isAllowed: () => isStillAllowed(keys, request),
        });
      }
      reply.type("text/plain; charset=utf-8").header("x-content-type-options", "nosniff");
      const file = await liveConsole(id);
      return reply.send(file ? createReadStream(file) : ((await readKeptConsole(paths, id)) ?? ""));
    },
  );

  /** The console's file while its microVM is there and has said something. */
  const liveConsole = async (id: string): Promise<string | undefined> => {
    const vm = await sessions.microvmOf(id);
    const file = vm && paths.vm(vm.id).console;
    return file !== undefined && (await consoleSize(file)) > 0 ? file : undefined;
  };

  /** What a microVM that is gone already left, or the console of a living one to its last words. */
  const follow = async function* (id: string, signal: AbortSignal): AsyncGenerator<string> {
    const isSessionOver = async (): Promise<boolean> => isOver((await sessions.get(id)).state);
    const vm = await sessions.microvmOf(id);
    let isEmpty = true;
    if (vm) {
      // The answer's head goes out with its first byte, and a guest may take its time for one.
      if (!(await isSessionOver()) && (await consoleSize(paths.vm(vm.id).console)) === 0) yield NOTHING;
      for await (const piece of followConsole(paths.vm(vm.id).console, { isOver: isSessionOver, signal })) {
        isEmpty = false;
        yield piece;
      }
    }
    if (isEmpty) yield (await readKeptConsole(paths, id))?.toString() ?? "";
  };
};
