/** Anything thrown → problem document (RFC 9457). The one place where errors meet HTTP. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import type { Problem } from "../contract/api.ts";
import { diskFullOf } from "../lib/disk-full.ts";
import { AppError, kindOfStatus } from "../lib/errors.ts";

export const installErrorHandler = (app: FastifyInstance): void => {
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const known = asAppError(error);
    if (known.status >= 500) request.log.error({ err: error, context: known.context }, "request failed");
    if (isBodyAwaited(request)) reply.header("connection", "close");
    return sendProblem(reply, known);
  });
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new AppError("not-found", "no-such-call", `There is no ${request.method} ${pathOf(request.url)}.`, {
        hint: "GET /openapi.json lists every call.",
      }),
    ),
  );
};

export const problemOf = (error: AppError): Problem => ({
  type: `urn:sallyport:problem:${error.code}`,
  title: error.kind,
  status: error.status,
  code: error.code,
  detail: error.message,
  ...(error.hint === undefined ? {} : { hint: error.hint }),
  ...(error.fields === undefined ? {} : { fields: error.fields }),
});

const sendProblem = (reply: FastifyReply, error: AppError): FastifyReply => {
  if (error.retryAfterSec !== undefined) reply.header("retry-after", error.retryAfterSec);
  if (error.status === 401) reply.header("www-authenticate", "Bearer");
  return reply.status(error.status).type("application/problem+json").send(problemOf(error));
};

/** A refusal may come before the body; what is still to come of it is read by nobody. */
const isBodyAwaited = ({ raw, headers }: FastifyRequest): boolean =>
  !raw.complete && (headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0);

const asAppError = (error: FastifyError | AppError): AppError => {
  if (error instanceof AppError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const fields = error.validation.flatMap(({ instancePath, message, params }) => {
      const path = instancePath.replace(/^\//, "").replaceAll("/", ".");
      const { keys } = params as { keys?: string[] };
      if (keys) return keys.map((key) => `${path ? `${path}.` : ""}${key}: not a known field`);
      return [`${path || error.validationContext}: ${message}`];
    });
    return new AppError("invalid", "invalid-request", `The request is not valid: ${fields.join("; ")}.`, { fields });
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new AppError(
      kindOfStatus(error.statusCode) === "internal" ? "invalid" : kindOfStatus(error.statusCode),
      "invalid-request",
      error.message,
    );
  }
  const full = diskFullOf(error);
  if (full) return full;
  return new AppError("internal", "internal-error", "Sallyport failed at this; the controller's log says more.", {
    cause: error,
  });
};

/** Path without query: queries never reach a log or a message. */
const pathOf = (url: string): string => url.split("?")[0] ?? url;
