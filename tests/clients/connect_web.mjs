// A campaign from Connect-Web's gRPC-Web transport, as a browser runs it: node connect_web.mjs ADDRESS WEBSITE PROTO_FOLDER
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

const [address, website, protos] = process.argv.slice(2);
const image = execFileSync("node_modules/.bin/buf", ["build", protos, "--as-file-descriptor-set", "-o", "-"]);
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));

const clients = (user) => {
  const stamp = (next) => (request) => {
    if (user) request.header.set("x-user-id", user);
    return next(request);
  };
  const transport = createGrpcWebTransport({ baseUrl: `http://${address}`, interceptors: [stamp] });
  const make = (service) => createClient(registry.getService(`herald.v1.${service}`), transport);
  return { agent: make("AgentService"), workflow: make("WorkflowService"), tenant: make("TenantService") };
};
const [a, b] = [clients("user_a"), clients("user_b")];

assert.equal((await a.tenant.getCaller({})).caller.tenantId, "user_a");
const created = await a.agent.batchCreateProspects({ prospects: [{ email: "a@example.com" }, { email: "b@example.com" }] });
assert.equal(created.createdCount, 2);
await assert.rejects(b.agent.getProspect({ prospectId: created.results[0].prospectId }), (error) => {
  assert.ok(error instanceof ConnectError);
  assert.equal(error.code, Code.NotFound);
  assert.ok(error.details.some((detail) => detail.type === "google.rpc.ErrorInfo"));
  return true;
});

const { campaign } = await a.workflow.startWorkflow({ website, templateId: "modern_tech" });
const seen = [];
for await (const { update } of a.workflow.watchWorkflow({ campaignId: campaign.id, afterSeq: 0n })) {
  const event = update.value;
  seen.push(Number(event.seq));
  if (event.kind.case === "stateChanged" && event.kind.value.to === 4) {
    await a.workflow.reviewEmails({ others: 1 });
  }
}
assert.deepEqual(seen, seen.map((_, i) => i + 1));
const done = (await a.workflow.getWorkflow({})).campaign;
assert.equal(done.state, 5);
assert.equal(done.emails.sent, 2);
console.log("all as expected");
