import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { isReason, type Reason } from "./reasons.js";

/**
 * Who has failed a call:
 *
 * - `refused`: Herald has answered, with a code and mostly a reason;
 * - `transport`: Herald was not reached, or something that is not Herald has answered: the network, a proxy, a server that stopped;
 * - `token`: `getToken` has thrown;
 * - `caller`: the request or the options cannot be sent as they are;
 * - `deadline`: the time for the call is over;
 * - `aborted`: by the caller's signal.
 */
export type ErrorKind = "refused" | "transport" | "token" | "caller" | "deadline" | "aborted";

/** What is wrong with a field of the request. */
export interface FieldViolation {
  /** Its path, such as `mailbox.smtp.host`. */
  field: string;
  description: string;
}

interface Parts {
  kind: ErrorKind;
  code: Code;
  reason?: Reason | undefined;
  metadata?: Record<string, string>;
  fields?: FieldViolation[];
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** Every error that a call of the client throws. */
export class HeraldError extends Error {
  override name = "HeraldError";
  readonly kind: ErrorKind;
  readonly code: Code;
  /** Herald's reason, such as `CAMPAIGN_STATE`; undefined where there is none. `docs/api.md` has them all. */
  readonly reason: Reason | undefined;
  /** What belongs to the reason, such as `state` and `allowed` of CAMPAIGN_STATE. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Of INVALID_ARGUMENT: each field that is wrong. */
  readonly fields: readonly FieldViolation[];
  /** When it may be tried again, if Herald says so, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, parts: Parts) {
    super(message, { cause: parts.cause });
    this.kind = parts.kind;
    this.code = parts.code;
    this.reason = parts.reason;
    this.metadata = parts.metadata ?? {};
    this.fields = parts.fields ?? [];
    this.retryAfterMs = parts.retryAfterMs;
  }

  /** What an error of a call means; `signal`: the caller's. */
  static from(error: unknown, signal?: AbortSignal): HeraldError {
    const own = error instanceof HeraldError ? error : error instanceof ConnectError ? error.cause : undefined;
    if (own instanceof HeraldError) {
      return own;
    }
    const connect = ConnectError.from(error);
    const message = connect.rawMessage;
    const code = connect.code;
    if (signal?.aborted || code === Code.Canceled) {
      return new HeraldError(message, { kind: "aborted", code: Code.Canceled, cause: error });
    }
    const info = connect.findDetails(ErrorInfoSchema).find(({ domain }) => domain === "herald");
    if (info) {
      const retry = connect.findDetails(RetryInfoSchema)[0]?.retryDelay;
      const violations = connect.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
      return new HeraldError(message, {
        kind: code === Code.DeadlineExceeded ? "deadline" : "refused",
        code,
        reason: isReason(info.reason) ? info.reason : undefined,
        metadata: info.metadata,
        fields: violations.map(({ field, description }) => ({ field, description })),
        retryAfterMs: retry && Number(retry.seconds) * 1000 + retry.nanos / 1e6,
        cause: error,
      });
    }
    if (code === Code.DeadlineExceeded) {
      return new HeraldError(message, { kind: "deadline", code, cause: error });
    }
    // So says Connect of a message that protobuf cannot encode.
    if (message.startsWith("serialize ")) {
      return new HeraldError(message, { kind: "caller", code: Code.InvalidArgument, cause: error });
    }
    // Every answer of Herald's own has a reason: what has none is somebody else's, whatever its code.
    const what = `Herald was not reached, or something else has answered: ${message}`;
    return new HeraldError(what, { kind: "transport", code: Code.Unavailable, cause: error });
  }
}
