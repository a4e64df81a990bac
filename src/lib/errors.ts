/** Closed list of what can go wrong, by who can do something about it. HTTP status and exit code derive from it, here only. */
const KINDS = {
  invalid: { status: 400, exitCode: 2 },
  unauthenticated: { status: 401, exitCode: 3 },
  forbidden: { status: 403, exitCode: 3 },
  "not-found": { status: 404, exitCode: 4 },
  conflict: { status: 409, exitCode: 5 },
  gone: { status: 410, exitCode: 5 },
  "too-large": { status: 413, exitCode: 2 },
  "too-long": { status: 414, exitCode: 2 },
  unsupported: { status: 415, exitCode: 2 },
  unprocessable: { status: 422, exitCode: 2 },
  "too-many": { status: 429, exitCode: 6 },
  internal: { status: 500, exitCode: 1 },
  unavailable: { status: 503, exitCode: 6 },
  timeout: { status: 504, exitCode: 7 },
} as const;

export type ErrorKind = keyof typeof KINDS;

export interface ErrorDetails {
  /** What the reader can do about it, one sentence. */
  hint?: string;
  /** Seconds after which a retry makes sense. */
  retryAfterSec?: number;
  /** Offending fields of a request, as `path: what is wrong`. */
  fields?: string[];
  /** For the log only, never for the user. */
  context?: Record<string, unknown>;
  cause?: unknown;
}

/** The one error of this code base. `message` may be read by a user; `context` and `cause` go to the log. */
export class AppError extends Error {
  override name = "AppError";
  readonly kind: ErrorKind;
  /** Stable identifier, e.g. `no-image`; never reused for another meaning. */
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryAfterSec: number | undefined;
  readonly fields: string[] | undefined;
  readonly context: Record<string, unknown> | undefined;

  constructor(kind: ErrorKind, code: string, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.kind = kind;
    this.code = code;
    this.hint = details.hint;
    this.retryAfterSec = details.retryAfterSec;
    this.fields = details.fields;
    this.context = details.context;
  }

  get status(): number {
    return KINDS[this.kind].status;
  }

  get exitCode(): number {
    return KINDS[this.kind].exitCode;
  }
}

/** The kind an HTTP status stands for; statuses outside the table count as `internal`. */
export const kindOfStatus = (status: number): ErrorKind =>
  (Object.keys(KINDS) as ErrorKind[]).find((kind) => KINDS[kind].status === status) ?? "internal";

/** Text of anything thrown, for a log line or a sentence. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** `code` of a system error such as ENOENT, or undefined. */
export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
