/** Everything about one session that a key holder may ask. */
import { z } from "zod";
import { answerRequest, credentialsResponse, diagnosisResponse, openRequest, sessionView } from "../../contract/api.ts";
import { receipt } from "../../contract/session.ts";
import { AppError } from "../../lib/errors.ts";
import type { Session } from "../../session/session.ts";
import { callerOf, isStillAllowed, sessionOf } from "../auth.ts";
import { sessionParams as params, type App, type HttpContext } from "../context.ts";
import { sessionEvents } from "../events.ts";
import { viewOf } from "../view.ts";

const tags = ["sessions"];
const MAX_LISTED = 200;

export const registerSession = (app: App, { keys, limits, sessions, stream }: HttpContext): void => {
  const view = async (session: Session) =>
    viewOf(session, await sessions.microvmOf(session.id), {
      wrongPairingCodes: await sessions.wrongPairingCodes(session.id),
      ...sessions.liveOf(session.id),
    });

  app.get(
    "/api/auth/session/:id",
    {
      config: { access: "session" },
      schema: { params, response: { 200: sessionView }, summary: "State, stages, verdict", tags },
    },
    async (request) => view(sessionOf(request)),
  );

  app.get(
    "/api/auth/session/:id/events",
    { config: { access: "session" }, schema: { params, summary: "The same as server-sent events", tags } },
    async (request, reply) => {
      const { id } = sessionOf(request);
      return stream(reply, {
        sessionId: id,
        contentType: "text/event-stream",
        heartbeat: ": still here\n\n",
        pieces: (signal) => sessionEvents(sessions, id, view, signal),
        isAllowed: () => isStillAllowed(keys, request),
      });
    },
  );

  app.post(
    "/api/auth/session/:id/open",
    {
      config: { access: "session" },
      bodyLimit: limits.urlBodyBytes,
      schema: { params, body: openRequest, summary: "Open the tool's URL in the browser", tags },
    },
    async (request, reply) => {
      const { id } = sessionOf(request);
      await sessions.open(id, request.body.url, request.body.callback);
      return reply.status(204).send();
    },
  );

  app.get(
    "/api/auth/session/:id/credentials",
    {
      config: { access: "session" },
      schema: {
        params,
        response: { 200: credentialsResponse, 202: z.object({ state: z.string() }) },
        summary: "The sealed result, until it was answered",
        tags,
      },
    },
    async (request, reply) => {
      const session = sessionOf(request);
      const sealed = await sessions.credentials(session.id);
      reply.header("cache-control", "no-store");
      return sealed ? { sealed } : reply.status(202).send({ state: session.state });
    },
  );

  app.post(
    "/api/auth/session/:id/answer",
    {
      config: { access: "session" },
      bodyLimit: limits.answerBodyBytes,
      schema: { params, body: answerRequest, summary: "The tool's reply for the waiting browser", tags },
    },
    async (request, reply) => {
      const { id } = sessionOf(request);
      await sessions.answer(id, request.body.sealedAnswer);
      return reply.status(204).send();
    },
  );

  app.delete(
    "/api/auth/session/:id",
    {
      config: { access: "session-or-paired" },
      schema: { params, response: { 200: receipt }, summary: "Destroy now; answers the receipt", tags },
    },
    async (request) => {
      return sessions.destroy(request.params.id);
    },
  );

  app.get(
    "/api/auth/session/:id/receipt",
    {
      config: { access: "session" },
      schema: { params, response: { 200: receipt }, summary: "Proof of destruction", tags },
    },
    async (request) => {
      const session = sessionOf(request);
      if (session.receipt) return session.receipt;
      throw new AppError(
        "conflict",
        "no-receipt-yet",
        `The session is ${session.state}; there is a receipt when its microVM is gone.`,
        {
          hint: "DELETE the session to end it now.",
        },
      );
    },
  );

  app.get(
    "/api/auth/session/:id/diagnosis",
    {
      config: { access: "session" },
      schema: {
        params,
        response: { 200: diagnosisResponse },
        summary: "What is wrong with its microVM now, or was when it failed, with the proof",
        tags,
      },
    },
    async (request) => {
      const session = sessionOf(request);
      const { diagnosis = null, facts = null } = (await sessions.diagnose(session.id)) ?? {};
      return { diagnosis, facts, verdict: session.verdict, stages: session.stages };
    },
  );

  app.get(
    "/api/sessions",
    {
      config: { access: "key" },
      schema: { response: { 200: z.array(sessionView) }, summary: "Sessions the caller may see", tags },
    },
    async (request) => {
      const holder = callerOf(request);
      const filter = holder.scopes.includes("operate") ? {} : { seenBy: holder };
      const listed = await sessions.list({ ...filter, limit: MAX_LISTED });
      return listed.map(({ session, vm, wrongPairingCodes }) =>
        viewOf(session, vm, { wrongPairingCodes, ...sessions.liveOf(session.id) }),
      );
    },
  );
};
