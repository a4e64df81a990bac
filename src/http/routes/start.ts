import { startRequest, startResponse, type StartResponse } from "../../contract/api.ts";
import type { Started } from "../../session/sessions.ts";
import { call, callerOf, resolveUser } from "../auth.ts";
import type { App, HttpContext } from "../context.ts";

/** Answers at once, the boot goes on. */
export const registerStart = (app: App, { config, sessions }: HttpContext): void => {
  app.post(
    "/api/auth/start",
    call("login", {
      body: startRequest,
      response: { 200: startResponse },
      summary: "Start a sign-in",
      tags: ["sessions"],
    }),
    async (request) => {
      const holder = callerOf(request);
      const userId = resolveUser(holder, request.body.userId);
      return answer(config.publicUrl, await sessions.start(request.body, { userId, keyId: holder.keyId }));
    },
  );
};

const answer = (publicUrl: string, started: Started): StartResponse => {
  const self = `${publicUrl}/api/auth/session/${started.sessionId}`;
  return {
    success: true,
    ...started,
    novncURL: `${self}/novnc`,
    links: {
      self,
      events: `${self}/events`,
      novnc: `${self}/novnc`,
      credentials: `${self}/credentials`,
      receipt: `${self}/receipt`,
    },
  };
};
