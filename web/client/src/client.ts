import type { DescMethodServerStreaming, DescMethodUnary, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, createClient, type Interceptor, makeAnyClient, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { asUser, authorized, type GetToken, jsonSafe, requestIds, retries } from "./calls.js";
import { HeraldError } from "./errors.js";
import { AgentService } from "./gen/herald/v1/agent_pb.js";
import { CacheService } from "./gen/herald/v1/cache_pb.js";
import { MailboxService } from "./gen/herald/v1/mailbox_pb.js";
import { TenantService } from "./gen/herald/v1/tenant_pb.js";
import { WorkflowService } from "./gen/herald/v1/workflow_pb.js";
import { type Watched, type WatchOptions, watch } from "./watch.js";

/** Where Herald is, and who calls. */
export type HeraldOptions = {
  /** Such as `https://herald.example.com`. */
  baseUrl: string;
  /** The most time that a call may take, its repetitions included, in milliseconds; 30,000 if left out. Streams have none. */
  timeoutMs?: number;
  /** In the place of the platform's. */
  fetch?: typeof globalThis.fetch;
  /** Called for each call, outermost first. */
  interceptors?: Interceptor[];
} & (
  | {
      /** Gives the bearer token of each call; Clerk's `getToken` as it is. Called with `skipCache` once Herald has refused one. */
      getToken: GetToken;
      userId?: never;
    }
  | {
      /** Who calls a development server, which takes that on its word. */
      userId: string;
      getToken?: never;
    }
);

/** All services of Herald, for one caller. */
export interface HeraldClient {
  agent: Client<typeof AgentService>;
  cache: Client<typeof CacheService>;
  mailbox: Client<typeof MailboxService>;
  tenant: Client<typeof TenantService>;
  workflow: Client<typeof WorkflowService>;
  /** Follows a campaign; empty means the newest. */
  watch(campaignId?: string, options?: WatchOptions): AsyncGenerator<Watched, void>;
}

const TIMEOUT = 30_000;

/** A client of all services. Where the size of a page matters, see `createHeraldTransport`. */
export function createHeraldClient(options: HeraldOptions): HeraldClient {
  const transport = createHeraldTransport(options);
  const workflow = serviceClient(WorkflowService, transport);
  return {
    agent: serviceClient(AgentService, transport),
    cache: serviceClient(CacheService, transport),
    mailbox: serviceClient(MailboxService, transport),
    tenant: serviceClient(TenantService, transport),
    workflow,
    watch: (campaignId, watchOptions) => watch(workflow, campaignId, watchOptions),
  };
}

/** What carries calls: gRPC-Web with tokens, ids of requests and repetitions. For `serviceClient` and for connect-query. */
export function createHeraldTransport(options: HeraldOptions): Transport {
  if (!URL.canParse(options.baseUrl) || !/^https?:$/.test(new URL(options.baseUrl).protocol)) {
    const message = `baseUrl must be such as https://herald.example.com, and is ${JSON.stringify(options.baseUrl)}`;
    throw new HeraldError(message, { kind: "caller", code: Code.InvalidArgument });
  }
  const who = options.getToken ? authorized(options.getToken) : asUser(options.userId ?? "");
  return createGrpcWebTransport({
    baseUrl: options.baseUrl,
    defaultTimeoutMs: options.timeoutMs ?? TIMEOUT,
    interceptors: [...(options.interceptors ?? []), requestIds, retries, who, jsonSafe],
    ...(options.fetch ? { fetch: options.fetch } : {}),
  });
}

/** A client of one service, whose calls throw nothing but `HeraldError`. */
export function serviceClient<S extends DescService>(service: S, transport: Transport): Client<S> {
  const plain = createClient(service, transport) as Record<string, unknown>;
  return makeAnyClient(service, (method) => {
    if (method.methodKind === "unary") {
      return unary(plain[method.localName] as Unary<typeof method>);
    }
    return method.methodKind === "server_streaming" ? streaming(plain[method.localName] as Streaming<typeof method>) : null;
  }) as Client<S>;
}

type Unary<M extends DescMethodUnary> = (
  request: MessageInitShape<M["input"]>,
  options?: CallOptions,
) => Promise<MessageShape<M["output"]>>;

type Streaming<M extends DescMethodServerStreaming> = (
  request: MessageInitShape<M["input"]>,
  options?: CallOptions,
) => AsyncIterable<MessageShape<M["output"]>>;

function unary<M extends DescMethodUnary>(call: Unary<M>): Unary<M> {
  return async (request, options) => {
    try {
      return await call(request, options);
    } catch (error) {
      throw HeraldError.from(error, options?.signal);
    }
  };
}

function streaming<M extends DescMethodServerStreaming>(call: Streaming<M>): Streaming<M> {
  return async function* (request, options) {
    try {
      yield* call(request, { timeoutMs: 0, ...options });
    } catch (error) {
      throw HeraldError.from(error, options?.signal);
    }
  };
}
