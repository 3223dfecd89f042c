/** What a watcher is told and has not taken: the stream waits while it is full. */
export class Queue<T> implements AsyncIterable<T> {
  private readonly items: T[] = [];
  private ended: { error?: unknown } | undefined;
  private changed = resolvers();

  constructor(
    private readonly most: number,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener("abort", () => this.wake());
  }

  /** Waits until there is room. */
  async put(item: T): Promise<void> {
    this.items.push(item);
    this.wake();
    while (this.items.length >= this.most && !this.signal.aborted) {
      await this.changed.promise;
    }
  }

  end(error?: unknown): void {
    this.ended ??= error === undefined ? {} : { error };
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void> {
    for (;;) {
      const item = this.items.shift();
      if (item !== undefined) {
        this.wake();
        yield item;
      } else if (this.ended) {
        if ("error" in this.ended) {
          throw this.ended.error;
        }
        return;
      } else if (this.signal.aborted) {
        return;
      } else {
        await this.changed.promise;
      }
    }
  }

  private wake(): void {
    this.changed.resolve();
    this.changed = resolvers();
  }
}

interface Resolvers {
  promise: Promise<void>;
  resolve: () => void;
}

/** Promise.withResolvers is newer than some browsers. */
function resolvers(): Resolvers {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Why a stream was closed from this side. */
export type Closed = "silent" | "hidden" | "stopped";

/** The signal of one stream: it ends with the watch, after too much silence, and when the tab is hidden. */
export class StreamSignal {
  private readonly controller = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  closed: Closed | undefined;

  constructor(
    private readonly stop: AbortSignal,
    private readonly silence: number,
    untilHidden: boolean,
  ) {
    stop.addEventListener("abort", this.stopped);
    if (untilHidden && typeof document !== "undefined") {
      document.addEventListener("visibilitychange", this.hidden);
    }
    this.heard();
    if (stop.aborted) {
      this.stopped();
    }
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** It is alive. */
  heard(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.close("silent"), this.silence);
  }

  /** What it has said is being taken: nobody waits for more. */
  rest(): void {
    clearTimeout(this.timer);
  }

  /** It has ended, or is to. */
  close(why: Closed): void {
    clearTimeout(this.timer);
    this.stop.removeEventListener("abort", this.stopped);
    if (typeof document !== "undefined") {
      document.removeEventListener("visibilitychange", this.hidden);
    }
    if (!this.controller.signal.aborted) {
      this.closed ??= why;
      this.controller.abort();
    }
  }

  private readonly stopped = () => this.close("stopped");

  private readonly hidden = () => {
    if (isHidden()) {
      this.close("hidden");
    }
  };
}

function isHidden(): boolean {
  return typeof document !== "undefined" && document.visibilityState === "hidden";
}

/** Waits until the tab is shown, where there are tabs. */
export function shown(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (isHidden() && !signal.aborted) {
        return;
      }
      if (typeof document !== "undefined") {
        document.removeEventListener("visibilitychange", look);
      }
      signal.removeEventListener("abort", look);
      resolve();
    };
    if (typeof document !== "undefined") {
      document.addEventListener("visibilitychange", look);
    }
    signal.addEventListener("abort", look);
    look();
  });
}
