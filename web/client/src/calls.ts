import { clone, type DescMethod, isMessage, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency, TimestampSchema, timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createContextKey, type Interceptor } from "@connectrpc/connect";
import { HeraldError } from "./errors.js";

/** In the shape of Clerk's: gives a token; with `skipCache` one that is fresh. */
export type GetToken = (options?: { skipCache?: boolean }) => Promise<string | null>;

/** Whether a call is made with a fresh token. */
export const freshToken = createContextKey(false, { description: "with a fresh token" });

/** The tries of a call beside the first, and the waits before them, each by chance up to that. */
export const TRIES = 4;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 8_000;

/** Whether a call that may or may not have been done can be made again: it changes nothing, changes nothing more, or is known again. */
export function isRepeatable(method: DescMethod, requestId = ""): boolean {
  return method.idempotency === Idempotency.NO_SIDE_EFFECTS || method.idempotency === Idempotency.IDEMPOTENT || requestId !== "";
}

/** Whether its request can have an id by which Herald knows it again. */
export function hasRequestId(method: DescMethod): boolean {
  return "requestId" in method.input.field;
}

/** How long to wait before the try after `tries`, in milliseconds; undefined: it is not tried again. */
export function waitBefore(error: HeraldError, tries: number, repeatable: boolean): number | undefined {
  const away = error.kind === "transport" || (error.kind === "refused" && error.code === Code.Unavailable);
  // Refused before anything was done, and when to ask again.
  const full = error.kind === "refused" && error.code === Code.ResourceExhausted && error.retryAfterMs !== undefined;
  const wait = error.retryAfterMs ?? 0;
  if (tries >= TRIES || wait > LONGEST_WAIT || !(full || (away && repeatable))) {
    return undefined;
  }
  return backoff(tries) + wait;
}

/** A wait by chance, up to a bound that doubles with each try. */
export function backoff(tries: number): number {
  return Math.random() * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** tries);
}

/** Waits, or until the signal is aborted. */
export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    if (signal.aborted) {
      done();
    }
  });
}

/** Gives an id to each request that can have one and has none, so that it can be repeated. */
export const requestIds: Interceptor = (next) => (request) => {
  const { method } = request;
  if (request.stream || !hasRequestId(method) || requestId(request.message) !== "") {
    return next(request);
  }
  // The caller's own stays as it is: called with it again, another call is meant.
  const message = clone(method.input, request.message) as Message & { requestId: string };
  message.requestId = crypto.randomUUID();
  return next({ ...request, message });
};

function requestId(message: Message): string {
  return (message as Message & { requestId?: string }).requestId ?? "";
}

/** Makes a unary call again that has failed and may be. */
export const retries: Interceptor = (next) => async (request) => {
  if (request.stream) {
    return next(request);
  }
  const repeatable = isRepeatable(request.method, requestId(request.message));
  for (let tries = 0; ; tries++) {
    try {
      return await next(request);
    } catch (error) {
      const wait = waitBefore(HeraldError.from(error, request.signal), tries, repeatable);
      if (wait === undefined) {
        throw error;
      }
      await sleep(wait, request.signal);
      if (request.signal.aborted) {
        throw error;
      }
    }
  }
};

/** Stamps each call with a token, and makes one again with a fresh token whose own is refused. */
export function authorized(getToken: GetToken): Interceptor {
  let refreshing: Promise<string | null> | undefined;
  let newest: string | null = null;
  const get = async (options?: { skipCache: boolean }) => {
    try {
      return await getToken(options);
    } catch (cause) {
      const error = new HeraldError("getToken has failed", { kind: "token", code: Code.Unauthenticated, cause });
      throw new ConnectError(error.message, error.code, undefined, undefined, error);
    }
  };
  // However many calls are refused, one fresh token is fetched for them.
  const fresh = async (used: string | null) => {
    if (newest !== null && newest !== used) {
      return newest;
    }
    refreshing ??= get({ skipCache: true }).finally(() => {
      refreshing = undefined;
    });
    newest = await refreshing;
    return newest;
  };
  return (next) => async (request) => {
    const stamp = (text: string | null) => {
      if (text !== null) {
        request.header.set("Authorization", `Bearer ${text}`);
      }
      return text;
    };
    const used = stamp(await (request.contextValues.get(freshToken) ? get({ skipCache: true }) : get()));
    try {
      return await next(request);
    } catch (error) {
      const { kind, code } = HeraldError.from(error, request.signal);
      if (request.stream || kind !== "refused" || code !== Code.Unauthenticated) {
        throw error;
      }
      stamp(await fresh(used));
      return next(request);
    }
  };
}

/** Stamps each call with a user's id, which development servers take on its word. */
export function asUser(userId: string): Interceptor {
  return (next) => (request) => {
    request.header.set("X-User-Id", userId);
    return next(request);
  };
}

/** Has the times of answers written into JSON as proto3's mapping does: they hold a bigint, which JSON.stringify refuses. */
export const jsonSafe: Interceptor = (next) => async (request) => {
  const response = await next(request);
  if (!response.stream) {
    makeJsonSafe(response.message);
    return response;
  }
  return { ...response, message: each(response.message) };
};

async function* each<T extends Message>(messages: AsyncIterable<T>): AsyncIterable<T> {
  for await (const message of messages) {
    makeJsonSafe(message);
    yield message;
  }
}

function makeJsonSafe(value: unknown): void {
  if (Array.isArray(value)) {
    value.forEach(makeJsonSafe);
  } else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    if (isMessage(value, TimestampSchema)) {
      const time = value;
      Object.defineProperty(value, "toJSON", { value: () => timestampDate(time).toISOString(), enumerable: false });
    } else {
      Object.values(value).forEach(makeJsonSafe);
    }
  }
}
