/** Calls for operators: keys, images, microVMs, orphans. */
import { z } from "zod";
import {
  imageView,
  keyCreated,
  keyRequest,
  keyView,
  reapRequest,
  reapResponse,
  vmView,
  warmView,
} from "../../contract/api.ts";
import { providerRecipe } from "../../contract/provider.ts";
import { call } from "../auth.ts";
import type { App, HttpContext } from "../context.ts";

const tags = ["operator"];

export const registerOperator = (
  app: App,
  { keys, images, providers, sessions, warm, reap, tearDownNetwork }: HttpContext,
): void => {
  app.get(
    "/api/providers",
    call("key", { response: { 200: z.array(providerRecipe) }, summary: "Provider recipes", tags: ["sessions"] }),
    async () => [...providers.values()],
  );

  app.get(
    "/api/images",
    call("operate", { response: { 200: z.array(imageView) }, summary: "Images on this host", tags }),
    async () => images.list(),
  );

  app.get(
    "/api/warm",
    call("operate", { response: { 200: warmView }, summary: "The warm snapshot that sessions start from", tags }),
    async () => warm.state(),
  );

  app.post(
    "/api/warm",
    call("operate", {
      response: { 202: warmView },
      summary: "Begin a new warm snapshot, if none is being made; takes longer than a boot, and its end is told by GET",
      tags,
    }),
    async (_request, reply) => {
      await warm.make();
      return reply.status(202).send(await warm.state());
    },
  );

  app.get(
    "/api/vms",
    call("operate", { response: { 200: z.array(vmView) }, summary: "MicroVMs and what they hold", tags }),
    async () => sessions.vms(),
  );

  app.post(
    "/api/reap",
    call("operate", {
      body: reapRequest,
      response: { 200: reapResponse },
      summary: "Remove what belongs to nobody",
      tags,
    }),
    async (request) => reap(request.body),
  );

  app.delete(
    "/api/network",
    call("operate", { summary: "Remove bridge, firewall and resolver when no microVM is left", tags }),
    async (_request, reply) => {
      await tearDownNetwork();
      return reply.status(204).send();
    },
  );

  app.get(
    "/api/keys",
    call("operate", { response: { 200: z.array(keyView) }, summary: "API keys, without their secrets", tags }),
    async () => keys.list(),
  );

  app.post(
    "/api/keys",
    call("operate", { body: keyRequest, response: { 201: keyCreated }, summary: "Make an API key", tags }),
    async (request, reply) => {
      const created = await keys.create({ ...request.body, label: request.body.label ?? "" });
      return reply.status(201).send(created);
    },
  );

  app.delete(
    "/api/keys/:id",
    call("operate", { params: z.strictObject({ id: z.string() }), summary: "Revoke an API key", tags }),
    async (request, reply) => {
      await keys.revoke(request.params.id);
      return reply.status(204).send();
    },
  );
};
