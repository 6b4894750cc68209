/**
 * One registry of error codes: code -> HTTP status and what the reader should do.
 * docs/reference/errors.md lists the same codes; a test fails when they disagree.
 */
export const errorCodes = {
  CONFIG_INVALID: { status: 400, hint: "Correct the named setting and start again." },
  CITY_INVALID: { status: 400, hint: "Correct the named fields of the city file." },
  CITY_UNKNOWN: { status: 404, hint: "List the cities with `cityscale cities` or GET /v1/cities." },
  ENTITY_UNKNOWN: { status: 404, hint: "List the entities with GET /v1/cities/{city}/entities." },
  TARGET_UNKNOWN: { status: 404, hint: "The city's declaration names its targets." },
  MODEL_UNKNOWN: { status: 404, hint: "List versions with `cityscale models`." },
  RUN_UNKNOWN: { status: 404, hint: "List runs with GET /v1/runs." },
  JOB_TIMEOUT: { status: 504, hint: "The job was stopped; its record says how far it came." },
  JOB_UNKNOWN: { status: 404, hint: "List jobs with GET /v1/jobs." },
  ASSET_UNKNOWN: { status: 404, hint: "Assets are observations, clean, model, forecasts, outcomes." },
  ROUTE_UNKNOWN: { status: 404, hint: "The routes are listed at /docs." },
  REQUEST_INVALID: {
    status: 400,
    hint: "Correct the named field; the routes and their schemas are at /docs.",
  },
  BODY_TOO_LARGE: { status: 413, hint: "Send less in one request." },
  MEDIA_TYPE_UNSUPPORTED: { status: 415, hint: "Send application/json." },
  METHOD_NOT_ALLOWED: { status: 405, hint: "The routes and their methods are at /docs." },
  UNAUTHENTICATED: {
    status: 401,
    hint: "Send `Authorization: Bearer KEY`; make one with `cityscale keys create`.",
  },
  FORBIDDEN: { status: 403, hint: "Use a key with a higher role." },
  RATE_LIMITED: { status: 429, hint: "Wait for the seconds in Retry-After." },
  CONFLICT: { status: 409, hint: "Read the current state and try again." },
  NOT_READY: { status: 503, hint: "The first loop has not finished; see GET /readyz." },
  OWNER_BUSY: {
    status: 409,
    hint: "Another CityScale process owns this data folder; talk to it or stop it.",
  },
  DATA_FOLDER_NEWER: {
    status: 409,
    hint: "Use the CityScale version that wrote this data folder, or a newer one.",
  },
  DATA_FOLDER_DAMAGED: { status: 500, hint: "Restore the newest backup with `cityscale restore`." },
  SOURCE_UNREACHABLE: {
    status: 502,
    hint: "Check the address with `cityscale doctor`; the loop goes on without it.",
  },
  SOURCE_REFUSED: {
    status: 502,
    hint: "The publisher answered with an error; its words are in the message.",
  },
  SOURCE_MALFORMED: {
    status: 502,
    hint: "The answer is not what this API sends; compare the address and the dataset.",
  },
  SOURCE_SCHEMA_CHANGED: {
    status: 502,
    hint: "The publisher changed its fields; adapt the source in the city file.",
  },
  DATA_MISSING: { status: 409, hint: "There are not enough data for this yet; ingest more history." },
  FEATURE_SQL_INVALID: { status: 400, hint: "Correct the feature's SQL in the city file." },
  TRAINING_FAILED: { status: 500, hint: "The run's record has the cause." },
  ARTIFACT_DAMAGED: {
    status: 500,
    hint: "The stored file fails its checksum; roll back to another version.",
  },
  GATE_FAILED: { status: 409, hint: "The verdict lists each gate with its value and bound." },
  ABORTED: { status: 499, hint: "The work was cancelled; it can be started again." },
  INTERNAL: { status: 500, hint: "This is a defect; please report it with the log line." },
} as const;

export type ErrorCode = keyof typeof errorCodes;

/** An error with a stable code. `details` are machine-readable and safe to show to a user. */
export class CityScaleError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;
  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "CityScaleError";
    this.code = code;
    this.details = options.details ?? {};
  }
  get status(): number {
    return errorCodes[this.code].status;
  }
  get hint(): string {
    return errorCodes[this.code].hint;
  }
}

/** Message of anything thrown, with its causes. */
export function messageOf(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && at !== null && parts.length < 5; ) {
    const message = at instanceof Error ? at.message : String(at);
    if (message && !parts.some((part) => part.includes(message))) parts.push(message);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}

/** True for anything that an AbortSignal threw. */
export function isAbort(error: unknown): boolean {
  return (
    (error instanceof CityScaleError && error.code === "ABORTED") ||
    (error instanceof Error &&
      (error.name === "AbortError" || (error as { code?: unknown }).code === "ABORT_ERR"))
  );
}
