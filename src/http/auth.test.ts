import cookie from "@fastify/cookie";
import fastify from "fastify";
import { expect, test } from "vitest";
import { installAccess } from "./auth.ts";
import type { App, HttpContext } from "./context.ts";

test("a route that does not say who may call it is refused at start", async () => {
  const app = fastify() as unknown as App;
  await app.register(cookie);
  installAccess(app, {} as HttpContext);
  expect(() => app.get("/api/new", async () => "for all to see")).toThrow("GET /api/new does not say who may call it.");
  app.get("/health", { config: { access: "anyone" } }, async () => "ok");
  expect((await app.inject("/health")).body).toBe("ok");
});
