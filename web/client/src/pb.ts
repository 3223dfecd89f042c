/** The messages, enums and services of Herald's API, generated from its protos. */
export * from "./gen/herald/v1/agent_pb.js";
export * from "./gen/herald/v1/cache_pb.js";
export * from "./gen/herald/v1/mailbox_pb.js";
export * from "./gen/herald/v1/tenant_pb.js";
export * from "./gen/herald/v1/types_pb.js";
export * from "./gen/herald/v1/workflow_pb.js";
