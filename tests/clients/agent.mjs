// Every RPC of the Agent, the Cache, the Mailbox and the Tenant service from @grpc/grpc-js: node agent.mjs ADDRESS WEBSITE PROTO_FOLDER
import assert from "node:assert/strict";
import { loadPackageDefinition, credentials, Metadata, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [address, website, protos] = process.argv.slice(2);
const files = ["agent", "cache", "mailbox", "tenant", "workflow"].map((name) => `herald/v1/${name}.proto`);
const { herald } = loadPackageDefinition(loadSync(files, { includeDirs: [protos], enums: String, longs: String, defaults: true }));
const clients = Object.fromEntries(
  ["AgentService", "CacheService", "MailboxService", "TenantService", "WorkflowService"].map((name) => [name, new herald.v1[name](address, credentials.createInsecure())]),
);
const called = new Set();
const call = (service, method, request = {}, user = "user_a") =>
  new Promise((done, failed) => {
    called.add(`${service}/${method}`);
    const metadata = new Metadata();
    metadata.set("x-user-id", user);
    clients[service][method](request, metadata, (error, answer) => (error ? failed(error) : done(answer)));
  });
const agent = (method, request, user) => call("AgentService", method, request, user);
const cache = (method, request, user) => call("CacheService", method, request, user);
const code = (name) => ({ code: status[name] });

// Configuration.
const smtp = { host: "smtp.example.com", security: "SMTP_SECURITY_TLS", password: "s3cret" };
const controls = { autoReply: true };
const { config } = await agent("UpdateAgentConfig", { config: { controls, companySize: "11-50" }, updateMask: { paths: ["controls", "company_size"] } });
assert.equal(config.controls.autoReply, true);
assert.deepEqual((await agent("GetAgentConfig")).config, config);
await assert.rejects(agent("UpdateAgentConfig", { config: { location: "x", etag: "stale" } }), code("ABORTED"));

// Mailboxes.
const boxes = (method, request, user) => call("MailboxService", method, request, user);
const berlin = { days: ["DAY_OF_WEEK_MONDAY"], timeZone: "Europe/Berlin", holidays: ["2026-12-25"] };
const created = { address: "anna@example.com", smtp: { ...smtp, username: "anna" }, pace: { maxEmailsPerDay: 20 }, calendar: berlin };
const { mailbox } = await boxes("CreateMailbox", { mailbox: created, requestId: "m1" });
assert.deepEqual([mailbox.smtp.hasPassword, mailbox.smtp.password, mailbox.state], [true, "", "MAILBOX_STATE_ENABLED"]);
await assert.rejects(boxes("CreateMailbox", { mailbox: { ...created, address: "Anna@EXAMPLE.com" } }), code("ALREADY_EXISTS"));
assert.deepEqual((await boxes("GetMailbox", { mailboxId: mailbox.id })).mailbox, mailbox);
await assert.rejects(boxes("GetMailbox", { mailboxId: mailbox.id }, "user_b"), code("NOT_FOUND"));
assert.equal((await boxes("PauseMailbox", { mailboxId: mailbox.id, reason: "holidays" })).mailbox.pauseReason, "holidays");
const { works, transcript } = await boxes("TestMailbox", { mailboxId: mailbox.id });
assert.deepEqual([works, transcript.at(-1).stage], [false, "connect"]);
assert.equal((await boxes("ResumeMailbox", { mailboxId: mailbox.id })).mailbox.pauseReason, "");
const change = { mailbox: { id: mailbox.id, html: true }, updateMask: { paths: ["html", "reply_to"] } };
assert.equal((await boxes("UpdateMailbox", change)).mailbox.html, true);
assert.deepEqual((await boxes("ListMailboxes")).mailboxes.map((one) => [one.id, one.calendar.days]), [[mailbox.id, berlin.days]]);
await assert.rejects(boxes("DeleteMailbox", { mailboxId: mailbox.id, etag: mailbox.etag }), code("ABORTED"));
await boxes("DeleteMailbox", { mailboxId: mailbox.id });

// Prospects.
const rows = ["a", "b", "c"].map((name, n) => ({ email: `${name}@example.com`, company: "例子", priorityScore: n, tags: ["fair"] }));
const { results } = await agent("BatchCreateProspects", { prospects: rows, requestId: "r1" });
const [a, b, c] = results.map((result) => result.prospectId);
const listed = await agent("ListProspects", { query: "例", tag: "fair", orderBy: "priority_score desc", view: "PROSPECT_VIEW_FULL" });
assert.deepEqual(listed.prospects.map((prospect) => prospect.id), [c, b, a]);
const counted = await agent("CountProspects", {});
assert.deepEqual(counted.counts, [{ status: "PROSPECT_STATUS_DISCOVERED", count: "3" }]);
assert.equal(counted.totalCount, "3");
const { prospect } = await agent("GetProspect", { prospectId: a });
assert.equal(prospect.engagement, "ENGAGEMENT_NONE");
await agent("UpdateProspect", { prospect: { id: a, nextAction: "Call", etag: prospect.etag } });
assert.ok((await agent("DeleteProspect", { prospectId: b })).prospect.deleteTime);
assert.equal((await agent("UndeleteProspect", { prospectId: b })).prospect.deleteTime, null);

// A campaign, its strategy and its e-mails; replies; suppressions.
await agent("AddSuppressions", { suppressions: [{ email: "C@example.com", reason: "SUPPRESSION_REASON_BOUNCED", source: "test" }] });
await call("WorkflowService", "StartWorkflow", { website, templateId: "modern_tech" });
const reaches = async (state) => {
  for (let n = 0; n < 500; n++) {
    const { campaign } = await call("WorkflowService", "GetWorkflow");
    if (campaign.state === state) return campaign;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`the campaign does not become ${state}`);
};
await reaches("CAMPAIGN_STATE_WAITING_APPROVAL");
await call("WorkflowService", "ReviewEmails", { others: "REVIEW_DECISION_APPROVE" });
const done = await reaches("CAMPAIGN_STATE_COMPLETED");
// The suppressed one was not chosen.
assert.deepEqual([done.emails.sent, done.emails.skipped], [2, 0]);
const { emails } = await agent("ListProspectEmails", { prospectId: a });
assert.equal((await agent("GetEmail", { emailId: emails[0].id })).email.status, "EMAIL_STATUS_SENT");
const reply = await agent("RecordReply", { prospectId: a, emailId: emails[0].id, body: "We are not interested, thank you." });
assert.equal(reply.reply.intent, "REPLY_INTENT_NOT_INTERESTED");
assert.equal(reply.prospect.engagement, "ENGAGEMENT_NOT_INTERESTED");
const bounce = { messageId: `<${emails[0].messageId}>`, status: "5.1.1", diagnostic: "smtp; 550 5.1.1 no such user" };
const bounced = await boxes("RecordBounce", bounce);
assert.deepEqual([bounced.email.bounce.status, bounced.email.bounce.permanent, bounced.suppressed], ["5.1.1", true, true]);
assert.deepEqual(await boxes("RecordBounce", bounce), bounced);
await assert.rejects(boxes("RecordBounce", bounce, "user_b"), code("NOT_FOUND"));
assert.notEqual((await boxes("RecordComplaint", { emailId: emails[0].id })).email.complaintTime, null);
const { marketingStrategies } = await agent("ListMarketingStrategies", { website });
assert.equal(marketingStrategies.length, 1);
const found = await agent("GetMarketingStrategy", { website, goal: "CAMPAIGN_GOAL_PARTNERSHIPS" });
assert.equal(found.marketingStrategy.id, marketingStrategies[0].id);
assert.equal((await agent("ListSuppressions", { reason: "SUPPRESSION_REASON_BOUNCED" })).suppressions.length, 2);
await agent("RemoveSuppression", { email: "c@example.com" });
await assert.rejects(agent("RemoveSuppression", { email: "c@example.com" }), code("NOT_FOUND"));

// The cache.
await cache("SetCacheEntry", { key: "k", value: { structValue: { fields: { n: { numberValue: 1 } } } }, ttl: { seconds: 60 } });
assert.equal((await cache("GetCacheEntry", { key: "k" })).entry.value.structValue.fields.n.numberValue, 1);
await assert.rejects(cache("GetCacheEntry", { key: "k" }, "user_b"), code("NOT_FOUND"));
assert.equal((await cache("CacheEntryExists", { key: "k" })).exists, true);
assert.equal((await cache("IncrementCacheCounter", { key: "n", delta: "9007199254740993" })).value, "9007199254740993");
assert.equal((await cache("PushCacheList", { key: "l", value: { stringValue: "x" } })).length, 1);
assert.equal((await cache("GetCacheList", { key: "l" })).items[0].stringValue, "x");
await cache("BatchSetCacheEntries", { entries: [{ key: "x", value: { boolValue: true } }, { key: "y", value: { nullValue: "NULL_VALUE" } }] });
const batch = await cache("BatchGetCacheEntries", { keys: ["y", "x", "none"] });
assert.deepEqual(batch.entries.map((entry) => entry.key), ["y", "x", "none"]);
assert.equal(batch.entries[1].value.boolValue, true);
assert.equal(batch.entries[2].value, null);
assert.deepEqual((await cache("ListCacheKeys", { prefix: "x" })).keys, ["x"]);
assert.equal((await cache("DeleteCacheEntry", { key: "x" })).deleted, true);
assert.ok(Number((await cache("DeleteAllCacheEntries")).deletedCount) >= 4);

// The tenant's files, and the end of everything.
assert.equal((await call("TenantService", "GetCaller")).caller.tenantId, "user_a");
const snapshot = await call("TenantService", "WriteSnapshot");
assert.deepEqual(snapshot.files.map((file) => file.name), ["config.json", "campaign-config.json", "prospects.json", "emails.json"]);
const { events } = await call("TenantService", "ListAuditEvents", { method: "UpdateProspect" });
assert.deepEqual(events.map((event) => [event.subject, event.ids, event.fields]), [["user_a", [a], ["next_action"]]]);
const removed = await agent("ResetAgent", { scope: "RESET_SCOPE_EVERYTHING" });
assert.deepEqual([removed.prospects, removed.configuration, removed.marketingStrategies], [3, true, 1]);

for (const service of ["AgentService", "CacheService", "MailboxService", "TenantService"]) {
  for (const method of Object.keys(herald.v1[service].service)) {
    assert.ok(called.has(`${service}/${method}`), `${service}/${method} is called by nobody here`);
  }
}
console.log("all as expected");
process.exit(0);
