import { z } from "zod";
import { AppError } from "../../lib/errors.ts";
import { call } from "../auth.ts";
import type { App, HttpContext } from "../context.ts";

const tags = ["meta"];
const ok = z.object({ status: z.literal("ok") });

export const registerMeta = (app: App, { config, images, metrics }: HttpContext): void => {
  /** One piece of memory, however many ask for it and do not take it. */
  let description: Buffer | undefined;

  app.get("/health", call("anyone", { response: { 200: ok }, summary: "The process answers", tags }), async () => ({
    status: "ok" as const,
  }));

  app.get("/ready", call("anyone", { response: { 200: ok }, summary: "A sign-in could start", tags }), async () => {
    if (await images.isReady()) return { status: "ok" as const };
    throw new AppError("unavailable", "no-image", `There is no image named "${config.image}" on this host.`, {
      hint: `Build it: sallyport image build --name ${config.image}`,
    });
  });

  app.get("/metrics", call("anyone", { summary: "Prometheus", tags }), async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  );

  app.get("/openapi.json", call("anyone", { hide: true }), async (_request, reply) => {
    description ??= Buffer.from(JSON.stringify(app.swagger()));
    return reply.type("application/json; charset=utf-8").send(description);
  });
};
