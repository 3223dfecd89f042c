// A campaign from @grpc/grpc-js: node grpc_js.mjs ADDRESS WEBSITE PROTO_FOLDER
import assert from "node:assert/strict";
import { loadPackageDefinition, credentials, Metadata, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, website, protos] = process.argv.slice(2);
const files = ["agent", "workflow", "tenant"].map((name) => `herald/v1/${name}.proto`);
const { herald } = loadPackageDefinition(loadSync(files, { includeDirs: [protos], enums: String, longs: Number, defaults: true }));
const make = (service) => new herald.v1[service](address, credentials.createInsecure());
const [agent, workflow, tenant] = ["AgentService", "WorkflowService", "TenantService"].map(make);

const as = (user) => {
  const metadata = new Metadata();
  if (user) metadata.set("x-user-id", user);
  return metadata;
};
const call = (client, method, request, user = "user_a") =>
  new Promise((done, failed) => {
    client[method](request, as(user), (error, answer) => (error ? failed(error) : done(answer)));
  });

assert.equal((await call(tenant, "GetCaller", {})).caller.tenantId, "user_a");
const created = await call(agent, "BatchCreateProspects", { prospects: [{ email: "a@example.com", company: "Ä" }, { email: "b@example.com" }] });
assert.equal(created.createdCount, 2);
await assert.rejects(call(agent, "GetProspect", { prospectId: created.results[0].prospectId }, "user_b"), { code: status.NOT_FOUND });
await assert.rejects(call(agent, "BatchCreateProspects", { prospects: [{ email: "nobody" }] }), (error) => {
  assert.equal(error.code, status.INVALID_ARGUMENT);
  assert.ok(error.metadata.get("grpc-status-details-bin")[0].includes("FIELD_INVALID"));
  return true;
});

const { campaign } = await call(workflow, "StartWorkflow", { website, templateId: "modern_tech" });
const seen = await new Promise((done, failed) => {
  const numbers = [];
  const stream = workflow.WatchWorkflow({ campaignId: campaign.id, afterSeq: 0 }, as("user_a"));
  stream.on("data", ({ event }) => {
    numbers.push(event.seq);
    if (event.stateChanged?.to === "CAMPAIGN_STATE_WAITING_APPROVAL") {
      call(workflow, "ReviewEmails", { others: "REVIEW_DECISION_APPROVE" }).catch(failed);
    }
  });
  stream.on("error", failed);
  stream.on("end", () => done(numbers));
});
assert.deepEqual(seen, seen.map((_, i) => i + 1));
const done = (await call(workflow, "GetWorkflow", {})).campaign;
assert.equal(done.state, "CAMPAIGN_STATE_COMPLETED");
assert.equal(done.emails.sent, 2);
console.log("all as expected");
process.exit(0);
