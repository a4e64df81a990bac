/** The HTTP API, the viewer page and its WebSocket on one listener. */
import cookie from "@fastify/cookie";
import swagger from "@fastify/swagger";
import websocket from "@fastify/websocket";
import fastify, { LogController, type FastifyBaseLogger } from "fastify";
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from "fastify-type-provider-zod";
import type { Logger } from "../lib/logger.ts";
import { installAccess } from "./auth.ts";
import type { App, HttpContext, HttpOptions } from "./context.ts";
import { boundConnections } from "./connections.ts";
import { answerFrameworkError, installErrorHandler } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { createLiveStreams } from "./live-stream.ts";
import { registerEvidence } from "./routes/evidence.ts";
import { registerMeta } from "./routes/meta.ts";
import { registerOperator } from "./routes/operator.ts";
import { registerSession } from "./routes/session.ts";
import { registerStart } from "./routes/start.ts";
import { registerViewer } from "./routes/viewer.ts";
import { readTls } from "./tls.ts";

const ROUTES = [registerStart, registerSession, registerEvidence, registerViewer, registerOperator, registerMeta];

export const createServer = async (options: HttpOptions, logger: Logger): Promise<App> => {
  const { config } = options;
  const limits = { ...LIMITS, ...options.limits };
  const context: HttpContext = { ...options, limits, stream: createLiveStreams(limits) };
  const http = { headersTimeout: limits.headMs, connectionsCheckingInterval: limits.lookMs };
  const app: App = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    // URLs can carry what must not be logged; state changes are logged where they happen.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionTimeout: limits.silentMs,
    routerOptions: { maxParamLength: limits.pathParameter },
    // A HEAD of a stream would be read by nobody for as long as its session lives.
    exposeHeadRoutes: false,
    // Only that peer's X-Forwarded-* are believed, for the addresses in the log.
    trustProxy: config.trustedProxy ?? false,
    forceCloseConnections: true,
    frameworkErrors: answerFrameworkError,
    ...(config.tls
      ? {
          https: {
            ...http,
            handshakeTimeout: limits.handshakeMs,
            ...readTls(config.tls),
          },
        }
      : { http }),
  }).withTypeProvider<ZodTypeProvider>();
  // No call takes text, and only JSON keeps another site's forms from sending any.
  app.removeContentTypeParser("text/plain");
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  installErrorHandler(app);

  await app.register(cookie);
  await app.register(websocket, {
    options: {
      maxPayload: limits.screenMessageBytes,
      handleProtocols: (offered) => (offered.has("binary") ? "binary" : false),
    },
  });
  boundConnections(app, limits, config.trustedProxy);
  installAccess(app, context);
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Sallyport",
        version: "1",
        description: "Signs command line tools in through a browser in a throw-away microVM.",
      },
      components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
      security: [{ key: [] }],
    },
    transform: jsonSchemaTransform,
  });

  await app.register(async (scoped) => {
    const routes = scoped.withTypeProvider<ZodTypeProvider>();
    for (const register of ROUTES) register(routes, context);
  });
  return app;
};
