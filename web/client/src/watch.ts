import { type Client, Code, createContextValues } from "@connectrpc/connect";
import { backoff, freshToken, sleep } from "./calls.js";
import { HeraldError } from "./errors.js";
import type { Campaign, CampaignEvent, WorkflowService } from "./gen/herald/v1/workflow_pb.js";
import { Queue, StreamSignal, shown } from "./streams.js";

/** What a watcher is told, in order. */
export type Watched =
  /** The campaign as it stood when the watch began; first, unless `afterSeq` was given. */
  | { type: "snapshot"; campaign: Campaign }
  /** What happened; each once, none left out. */
  | { type: "event"; event: CampaignEvent }
  /** Nothing was heard of Herald for two seconds. It is tried again until it answers. */
  | { type: "disconnected"; error: HeraldError }
  /** It answers again; what was missed follows. */
  | { type: "connected" };

export interface WatchOptions {
  /** Ends the watch. */
  signal?: AbortSignal | undefined;
  /** Only the events after this number; "0" means all. */
  afterSeq?: string | undefined;
  /** Watches in a hidden tab too. By itself a hidden tab has no stream, and catches up when it is shown: over plain HTTP a browser has six connections. */
  whileHidden?: boolean;
  /** After how much silence a stream counts as dead, in milliseconds; 60,000 if left out. Herald sends a heartbeat after 20 seconds. */
  silenceMs?: number;
}

/** How long a watcher is without a stream before it is told, in milliseconds. */
const DISCONNECTED = 2_000;
/** How long a stream that says nothing has to last until it counts as one. */
const SETTLED = 1_000;
/** A stream that says nothing for so long is dead. */
const SILENCE = 60_000;
/** What waits to be taken; a slow reader has the stream wait. */
const QUEUE = 256;

/**
 * Follows a campaign until it has ended, over lost connections, servers that restart, tokens that run out and tabs that are hidden.
 * Throws a `HeraldError` that another try would not mend: there is no such campaign, say. Ends quietly when the signal is aborted.
 */
export async function* watch(
  workflow: Client<typeof WorkflowService>,
  campaignId = "",
  options: WatchOptions = {},
): AsyncGenerator<Watched, void> {
  const stop = new AbortController();
  const end = () => stop.abort();
  options.signal?.addEventListener("abort", end);
  if (options.signal?.aborted) {
    end();
  }
  const queue = new Queue<Watched>(QUEUE, stop.signal);
  const followed = follow(workflow, campaignId, options, queue, stop.signal).then(
    () => queue.end(),
    (error) => queue.end(error),
  );
  try {
    yield* queue;
  } finally {
    options.signal?.removeEventListener("abort", end);
    end();
    await followed;
  }
}

/** Opens stream after stream, until the campaign has ended. */
async function follow(
  workflow: Client<typeof WorkflowService>,
  campaignId: string,
  options: WatchOptions,
  queue: Queue<Watched>,
  signal: AbortSignal,
): Promise<void> {
  const untilHidden = !options.whileHidden;
  if (options.afterSeq !== undefined && !/^\d{1,19}$/.test(options.afterSeq)) {
    throw new HeraldError("afterSeq must be a number, as text", { kind: "caller", code: Code.InvalidArgument });
  }
  let id = campaignId;
  let last = options.afterSeq === undefined ? undefined : BigInt(options.afterSeq);
  let tries = 0;
  let fresh = false;
  const outage = new Outage(queue);
  signal.addEventListener("abort", () => outage.stops());
  while (!signal.aborted) {
    if (untilHidden) {
      await shown(signal);
    }
    outage.begins();
    const stream = new StreamSignal(signal, options.silenceMs ?? SILENCE, untilHidden);
    let settled = false;
    const settle = () => {
      clearTimeout(settling);
      settled = true;
      outage.ends();
      tries = 0;
      fresh = false;
    };
    let settling: ReturnType<typeof setTimeout> | undefined;
    const onHeader = (header: Headers) => {
      // With a status in it, it is a refusal. One that is cut at once was none.
      if (!header.has("grpc-status")) {
        settling = setTimeout(settle, SETTLED);
      }
    };
    let failed: HeraldError | undefined;
    try {
      if (id === "" && last !== undefined) {
        // The newest may be another one when a stream is opened again.
        id = (await workflow.getWorkflow({}, { signal: stream.signal })).campaign?.id ?? "";
      }
      const request = last === undefined ? { campaignId: id } : { campaignId: id, afterSeq: last.toString() };
      const contextValues = createContextValues().set(freshToken, fresh);
      let gap = false;
      for await (const { update } of workflow.watchWorkflow(request, { signal: stream.signal, contextValues, onHeader })) {
        stream.rest();
        settle();
        if (update.case === "snapshot") {
          id = update.value.id;
          last = BigInt(update.value.lastSeq);
          await queue.put({ type: "snapshot", campaign: update.value });
        } else if (update.case === "event") {
          const seq = BigInt(update.value.seq);
          gap = last !== undefined && seq > last + 1n;
          if (gap) {
            break;
          }
          if (last === undefined || seq > last) {
            last = seq;
            await queue.put({ type: "event", event: update.value });
          }
        }
        stream.heard();
      }
      if (!gap) {
        // Everything was told.
        return;
      }
    } catch (caught) {
      failed = HeraldError.from(caught);
    } finally {
      clearTimeout(settling);
      stream.close("stopped");
    }
    if (signal.aborted) {
      return;
    }
    if (stream.closed === "hidden") {
      outage.stops();
      continue;
    }
    if (failed && failed.reason !== "STREAM_EXPIRED") {
      if (failed.kind === "refused" && failed.code === Code.Unauthenticated && !fresh) {
        fresh = true;
        continue;
      }
      if (stream.closed === "silent") {
        failed = silent();
      } else if (!passes(failed)) {
        outage.stops();
        throw failed;
      }
      outage.is(failed);
    }
    // A stream that went well for a while is opened again at once, when it has come to its end.
    if (!settled || failed?.reason !== "STREAM_EXPIRED") {
      await sleep(backoff(tries++) + (failed?.retryAfterMs ?? 0), signal);
    }
  }
}

/** Whether another try may mend it. */
function passes(error: HeraldError): boolean {
  return ["transport", "token", "deadline"].includes(error.kind) || error.code === Code.Unavailable || error.retryAfterMs !== undefined;
}

function silent(): HeraldError {
  return new HeraldError("the stream has said nothing for too long", { kind: "transport", code: Code.Unavailable });
}

/** Tells of being without a stream, once that has lasted for a while. */
class Outage {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private error = new HeraldError("Herald does not answer", { kind: "transport", code: Code.Unavailable });
  private told = false;

  constructor(private readonly queue: Queue<Watched>) {}

  begins(): void {
    this.timer ??= setTimeout(() => {
      this.told = true;
      void this.queue.put({ type: "disconnected", error: this.error });
    }, DISCONNECTED);
  }

  is(error: HeraldError): void {
    this.error = error;
  }

  /** Nobody is to be told. */
  stops(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  ends(): void {
    this.stops();
    if (this.told) {
      this.told = false;
      void this.queue.put({ type: "connected" });
    }
  }
}
