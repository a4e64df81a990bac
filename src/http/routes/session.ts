/** Everything about one session that a key holder may ask. */
import { z } from "zod";
import {
  answerRequest,
  credentialsResponse,
  diagnosisResponse,
  openRequest,
  sessionView,
  type SessionView,
} from "../../contract/api.ts";
import { receipt } from "../../contract/session.ts";
import { AppError } from "../../lib/errors.ts";
import { call, callerOf, isStillAllowed, sessionOf } from "../auth.ts";
import { sessionParams as params, type App, type HttpContext } from "../context.ts";

const tags = ["sessions"];
const MAX_LISTED = 200;

export const registerSession = (app: App, { keys, limits, sessions, stream }: HttpContext): void => {
  app.get(
    "/api/auth/session/:id",
    call("session", { params, response: { 200: sessionView }, summary: "State, stages, verdict", tags }),
    async (request) => sessionOf(request).view,
  );

  app.get(
    "/api/auth/session/:id/events",
    call("session", { params, summary: "The same as server-sent events", tags }),
    async (request, reply) => {
      const { id } = request.params;
      return stream(reply, {
        sessionId: id,
        contentType: "text/event-stream",
        heartbeat: ": still here\n\n",
        pieces: (signal) => eventsOf(sessions.watch(id, signal)),
        isAllowed: () => isStillAllowed(keys, request),
      });
    },
  );

  app.post(
    "/api/auth/session/:id/open",
    {
      ...call("session", { params, body: openRequest, summary: "Open the tool's URL in the browser", tags }),
      bodyLimit: limits.urlBodyBytes,
    },
    async (request, reply) => {
      await sessions.open(request.params.id, request.body);
      return reply.status(204).send();
    },
  );

  app.get(
    "/api/auth/session/:id/credentials",
    call("session", {
      params,
      response: { 200: credentialsResponse, 202: z.object({ state: z.string() }) },
      summary: "The sealed result, until it was answered",
      tags,
    }),
    async (request, reply) => {
      const sealed = await sessions.credentials(request.params.id);
      reply.header("cache-control", "no-store");
      return sealed ? { sealed } : reply.status(202).send({ state: sessionOf(request).view.state });
    },
  );

  app.post(
    "/api/auth/session/:id/answer",
    {
      ...call("session", { params, body: answerRequest, summary: "The tool's reply for the waiting browser", tags }),
      bodyLimit: limits.answerBodyBytes,
    },
    async (request, reply) => {
      await sessions.answer(request.params.id, request.body.sealedAnswer);
      return reply.status(204).send();
    },
  );

  app.delete(
    "/api/auth/session/:id",
    call("session-or-paired", {
      params,
      response: { 200: receipt },
      summary: "Destroy now; answers the receipt",
      tags,
    }),
    async (request) => sessions.end(request.params.id),
  );

  app.get(
    "/api/auth/session/:id/receipt",
    call("session", { params, response: { 200: receipt }, summary: "Proof of destruction", tags }),
    async (request) => {
      const { receipt: signed, view } = sessionOf(request);
      if (signed) return signed;
      const sentence = `The session is ${view.state}; there is a receipt when its microVM is gone.`;
      throw new AppError("conflict", "no-receipt-yet", sentence, { hint: "DELETE the session to end it now." });
    },
  );

  app.get(
    "/api/auth/session/:id/diagnosis",
    call("session", {
      params,
      response: { 200: diagnosisResponse },
      summary: "What is wrong with its microVM now, or was when it failed, with the proof",
      tags,
    }),
    async (request) => {
      const { verdict, stages } = sessionOf(request).view;
      return { ...(await sessions.diagnose(request.params.id)), verdict, stages };
    },
  );

  app.get(
    "/api/sessions",
    call("key", { response: { 200: z.array(sessionView) }, summary: "Sessions the caller may see", tags }),
    async (request) => {
      const caller = callerOf(request);
      return sessions.list({ ...(caller.scopes.includes("operate") ? {} : { seenBy: caller }), limit: MAX_LISTED });
    },
  );
};

/** Each event carries all there is to know, so that a reader who missed some is right all the same; what says nothing new is left out. */
const eventsOf = async function* (views: AsyncIterable<SessionView>): AsyncGenerator<string> {
  let last = "";
  for await (const view of views) {
    const event = `data: ${JSON.stringify(view)}\n\n`;
    if (event !== last) yield event;
    last = event;
  }
};
