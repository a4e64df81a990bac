/** Anything thrown → problem document (RFC 9457). The one place where errors meet HTTP. */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import type { Problem } from "../contract/api.ts";
import { diskFullOf } from "../lib/disk-full.ts";
import { AppError } from "../lib/errors.ts";

export const installErrorHandler = (app: FastifyInstance): void => {
  app.setErrorHandler((error: FastifyError | AppError, request, reply) => {
    const known = asAppError(error);
    if (known.status >= 500) request.log.error({ err: error, context: known.context }, "request failed");
    if (isBodyAwaited(request)) reply.header("connection", "close");
    return sendProblem(reply, known);
  });
  app.setNotFoundHandler(({ method, url }, reply) => {
    const sentence = `There is no ${method} ${pathOf(url)}.`;
    const hint = "GET /openapi.json lists every call.";
    return sendProblem(reply, new AppError("not-found", "no-such-call", sentence, { hint }));
  });
};

/** What is wrong with a request before there is a route for it. */
export const answerFrameworkError = (error: FastifyError, _request: FastifyRequest, reply: FastifyReply): void =>
  void sendProblem(reply, asAppError(error));

/** The framework's refusals of a request, by its code, in our words. */
const FRAMEWORK_REFUSALS: Record<string, () => AppError> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new AppError("too-large", "body-too-large", "The request's body is larger than this call takes."),
  FST_ERR_MAX_PARAM_LENGTH: () =>
    new AppError("too-long", "path-too-long", "An id in the path is longer than any id is."),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new AppError("unsupported", "not-json", "The request's body is not announced as JSON.", {
      hint: "Send it with content-type: application/json.",
    }),
  FST_ERR_CTP_EMPTY_JSON_BODY: () =>
    new AppError("invalid", "empty-body", "The request's body is announced as JSON and empty.", {
      hint: "Leave content-type out where there is nothing to send.",
    }),
  FST_ERR_CTP_INVALID_JSON_BODY: () => new AppError("invalid", "invalid-json", "The request's body is not valid JSON."),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new AppError("invalid", "body-cut-off", "The request's body has not the length that was announced."),
  FST_ERR_BAD_URL: () =>
    new AppError("invalid", "bad-path", "The path is not valid: a percent sign in it starts no character."),
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
  const refusal = FRAMEWORK_REFUSALS[error.code];
  if (refusal) return refusal();
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new AppError("invalid", "invalid-request", "The request is not valid.", { cause: error });
  }
  const full = diskFullOf(error);
  if (full) return full;
  return new AppError("internal", "internal-error", "Sallyport failed at this; the controller's log says more.", {
    cause: error,
  });
};

/** Path without query: queries never reach a log or a message. */
const pathOf = (url: string): string => url.split("?")[0] ?? url;
