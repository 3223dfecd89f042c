import { clone, type DescMethod, isMessage, type Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel as Idempotency, type Timestamp, TimestampSchema, timestampDate } from "@bufbuild/protobuf/wkt";
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

/** Waits, or until the signal is aborted, or the browser says that there is a network again. */
export function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  const network = typeof window === "undefined" ? undefined : window;
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      network?.removeEventListener("online", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    network?.addEventListener("online", done);
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
  message.requestId = newRequestId();
  return next({ ...request, message });
};

/** crypto.randomUUID is for https and localhost alone. */
function newRequestId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

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
  // What came in the place of which token; it may be another user's by now that getToken gives.
  let replaced: { used: string | null; by: Promise<string | null> } | undefined;
  const ask = async (options?: { skipCache: boolean }) => {
    try {
      return await getToken(options);
    } catch (cause) {
      const error = new HeraldError("getToken has failed", { kind: "token", code: Code.Unauthenticated, cause });
      throw new ConnectError(error.message, error.code, undefined, undefined, error);
    }
  };
  return (next) => async (request) => {
    const { signal, header } = request;
    const stamp = (text: string | null) => {
      header.delete("Authorization");
      if (text !== null) {
        header.set("Authorization", `Bearer ${text}`);
      }
      return text;
    };
    const isRefused = (error: unknown) => {
      const { kind, code } = HeraldError.from(error, signal);
      return kind === "refused" && code === Code.Unauthenticated;
    };
    const options = request.contextValues.get(freshToken) ? { skipCache: true } : undefined;
    const used = stamp(await unlessAborted(ask(options), signal));
    try {
      return await next(request);
    } catch (error) {
      if (request.stream || !isRefused(error)) {
        throw error;
      }
      // However many calls are refused with one token, one fresh token is fetched for them.
      if (replaced?.used !== used) {
        replaced = { used, by: ask({ skipCache: true }) };
      }
      const mine = replaced;
      try {
        stamp(await unlessAborted(mine.by, signal));
        return await next(request);
      } catch (again) {
        // The next call fetches another one.
        if (replaced === mine) {
          replaced = undefined;
        }
        throw again;
      }
    }
  };
}

/** What the promise gives, or the reason of the signal once it is aborted. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) {
      abort();
    }
  });
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

/** In the prototype: what copies plain objects, as react-query does, takes those of another one as they are. */
const TIME = {
  toJSON(this: Timestamp): string {
    return timestampDate(this).toISOString();
  },
};

function makeJsonSafe(value: unknown): void {
  if (Array.isArray(value)) {
    value.forEach(makeJsonSafe);
  } else if (typeof value === "object" && value !== null && !(value instanceof Uint8Array)) {
    if (isMessage(value, TimestampSchema)) {
      Object.setPrototypeOf(value, TIME);
    } else {
      Object.values(value).forEach(makeJsonSafe);
    }
  }
}
