/** What a session leaves to be read: the guest's console, and everything else in one archive. */
import { z } from "zod";
import { call, isStillAllowed } from "../auth.ts";
import { sessionParams as params, type App, type HttpContext } from "../context.ts";

const querystring = z.strictObject({ follow: z.enum(["true", "false"]).default("false") });
const tags = ["sessions"];
/** What terminals have always taken for "wait a little": a byte that shows nothing. */
const NOTHING = "\u0000";

export const registerEvidence = (app: App, { keys, sessions, stream }: HttpContext): void => {
  app.get(
    "/api/auth/session/:id/evidence",
    call("session", {
      params,
      summary: "Everything known of a session, alive or over: a tar, compressed with zstd",
      tags,
    }),
    async (request, reply) => {
      const { id } = request.params;
      return reply
        .headers({ "content-disposition": `attachment; filename="${id}.tar.zst"`, "cache-control": "no-store" })
        .type("application/zstd")
        .send(await sessions.evidence(id));
    },
  );

  app.get(
    "/api/auth/session/:id/console",
    call("session", {
      params,
      querystring,
      summary: "The guest's console; with follow until the session is over",
      tags,
    }),
    async (request, reply) => {
      const { id } = request.params;
      if (request.query.follow === "true") {
        return stream(reply, {
          sessionId: id,
          contentType: "text/plain; charset=utf-8",
          heartbeat: NOTHING,
          pieces: (signal) => sessions.followConsole(id, signal),
          isAllowed: () => isStillAllowed(keys, request),
        });
      }
      reply.type("text/plain; charset=utf-8").header("x-content-type-options", "nosniff");
      return reply.send(await sessions.console(id));
    },
  );
};
