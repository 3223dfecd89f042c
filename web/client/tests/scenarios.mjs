// What must hold wherever the client runs: each is called with the client's library and what it needs, and gives what it has seen, as JSON.

const collect = async (iterable) => {
  const all = [];
  for await (const item of iterable) {
    all.push(item);
  }
  return all;
};

const told = (error) => ({
  own: error.name === "HeraldError",
  kind: error.kind,
  code: error.code,
  reason: error.reason ?? "",
  metadata: error.metadata,
  fields: error.fields,
  message: error.message,
});

const refusal = (call) =>
  call.then(
    () => "no error",
    (error) => told(error),
  );

/** A tenant's prospects, with all that JSON makes of them. */
export async function prospects({ createHeraldClient, pages }, { baseUrl, userId, emails }) {
  const { agent } = createHeraldClient({ baseUrl, userId });
  const created = await agent.batchCreateProspects({ prospects: emails.map((email) => ({ email })) });
  const listed = await collect(pages(agent.listProspects, { pageSize: 2 }));
  // As react-query copies answers to share what has not changed.
  const copied = (value) =>
    Array.isArray(value)
      ? value.map(copied)
      : typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
        ? Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copied(part)]))
        : value;
  const all = copied(listed.flatMap((page) => page.prospects));
  return { created: created.createdCount, pages: listed.length, emails: all.map(({ email }) => email).sort(), json: JSON.stringify(all) };
}

/** Each reason as a typed error. */
export async function reasons({ createHeraldClient }, { baseUrl, names }) {
  const { tenant } = createHeraldClient({ baseUrl, userId: "user_a", timeoutMs: 1000 });
  const seen = {};
  for (const name of names) {
    seen[name] = await refusal(tenant.writeSnapshot({}, { headers: { "x-reason": name } }));
  }
  return seen;
}

/** What a call gets from whatever answers there: of a read, which is tried again, and of a change that is not. */
export async function transport({ createHeraldClient }, { baseUrl, timeoutMs }) {
  const { agent, tenant } = createHeraldClient({ baseUrl, userId: "user_a", timeoutMs });
  return { read: await refusal(agent.getAgentConfig({})), change: await refusal(tenant.writeSnapshot({})) };
}

/** Twenty calls at once whose token is refused. */
export async function refresh({ createHeraldClient }, { baseUrl, stale, fresh }) {
  let asked = 0;
  const getToken = async ({ skipCache } = {}) => {
    asked += skipCache ? 1 : 0;
    return asked > 0 ? fresh : stale;
  };
  const { tenant } = createHeraldClient({ baseUrl, getToken });
  const callers = await Promise.all(Array.from({ length: 20 }, () => tenant.getCaller({})));
  return { asked, subjects: [...new Set(callers.map(({ caller }) => caller.subject))] };
}

/** Refused even with a fresh one: told once. */
export async function refused({ createHeraldClient }, { baseUrl, stale }) {
  let asked = 0;
  const getToken = async () => {
    asked += 1;
    return stale;
  };
  const { tenant, watch } = createHeraldClient({ baseUrl, getToken });
  const call = await refusal(tenant.getCaller({}));
  const calls = asked;
  const watched = await refusal(collect(watch("")));
  const broken = createHeraldClient({ baseUrl, getToken: () => Promise.reject(new Error("signed out")) });
  return { call, calls, watched, broken: await refusal(broken.tenant.getCaller({})) };
}

/**
 * Starts a campaign and follows it to its end; what it was told, in order. `tokenUrl`: where each token is fetched, in the place of a user's id.
 * `at`: the event at which `reached` is told; `cancelAfter`: so many milliseconds after the start it is cancelled, if nobody chose a template.
 */
export async function follow({ createHeraldClient }, { baseUrl, userId, tokenUrl, website, count, at, cancelAfter }, reached) {
  let asked = 0;
  const getToken = async () => {
    asked += 1;
    return (await fetch(tokenUrl)).text();
  };
  const herald = createHeraldClient(tokenUrl ? { baseUrl, getToken } : { baseUrl, userId });
  const { agent, workflow } = herald;
  const emails = Array.from({ length: count }, (_, n) => ({ email: `p${n}@grower${n}.example`, company: `Grower ${n}` }));
  await agent.batchCreateProspects({ prospects: emails });
  await agent.updateAgentConfig({ config: { sender: { name: "Anna Berg" }, autoApprove: true } });
  await herald.mailbox.createMailbox({ mailbox: { address: "anna@acme.example", kind: 2 } });
  const { campaign } = await workflow.startWorkflow({ website, templateId: cancelAfter ? "" : "modern_tech" });
  if (cancelAfter) {
    setTimeout(() => workflow.cancelWorkflow({ campaignId: campaign.id }), cancelAfter);
  }
  const seen = { seqs: [], types: [], states: [] };
  for await (const item of herald.watch(campaign.id, { afterSeq: "0" })) {
    seen.types.push(item.type);
    if (item.type === "event") {
      seen.seqs.push(item.event.seq);
      if (item.event.kind.case === "stateChanged") {
        seen.states.push(item.event.kind.value.to);
      }
      JSON.stringify(item.event);
      if (item.event.seq === at) {
        await reached();
      }
    }
  }
  const after = await workflow.getWorkflow({ campaignId: campaign.id });
  return { ...seen, asked, last: after.campaign.lastSeq, state: after.campaign.state };
}

/** Every RPC, once, with an empty request: who answers, and with what. */
export async function everyMethod({ createHeraldClient }, { baseUrl, userId, services }) {
  const herald = createHeraldClient({ baseUrl, userId });
  const seen = [];
  for (const [service, methods] of Object.entries(services)) {
    for (const method of methods) {
      const call = herald[service][method];
      const answer = method === "watchWorkflow" ? collect(call({})) : call({});
      seen.push({ method: `${service}.${method}`, ...(await answer.then(() => ({ reason: "OK", own: true }), told)) });
    }
  }
  return seen;
}

/** What the caller's signal and the time for a call do. */
export async function ends({ createHeraldClient }, { baseUrl }) {
  const { agent, watch } = createHeraldClient({ baseUrl, userId: "user_a", timeoutMs: 300 });
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  const aborted = await refusal(agent.getAgentConfig({}, { signal: stop.signal }));
  const late = await refusal(agent.getAgentConfig({}));
  const gone = new AbortController();
  gone.abort();
  return { aborted, late, watched: await collect(watch("", { signal: gone.signal })) };
}

let watching;

/** Begins to watch, and goes on after it has answered; `watched` tells what it was told until then. */
export async function beginToWatch({ createHeraldClient }, { baseUrl, userId }) {
  watching = [];
  const herald = createHeraldClient({ baseUrl, userId });
  const stream = herald.watch("");
  watching.push((await stream.next()).value.type);
  (async () => {
    for await (const item of stream) {
      watching.push(item.type);
    }
  })();
}

export const watched = async () => watching;

/** A change that has no id of its own is given one, and is made again with it; called once more, it is another. */
export async function change({ createHeraldClient }, { baseUrl }) {
  const { agent } = createHeraldClient({ baseUrl, userId: "user_a" });
  const request = { prospects: [{ email: "kim@acme.example" }] };
  await refusal(agent.batchCreateProspects(request));
  await refusal(agent.batchCreateProspects(request));
  return JSON.stringify(request);
}

/** Streams that say nothing, and then no more than a snapshot each: what their watcher is told. */
export async function silence({ createHeraldClient }, { baseUrl }) {
  const herald = createHeraldClient({ baseUrl, userId: "user_a" });
  const seen = [];
  for await (const item of herald.watch("", { silenceMs: 200 })) {
    seen.push(item.type);
    if (seen.filter((type) => type === "snapshot").length === 2) {
      return seen;
    }
  }
}

/** What a real Herald refuses, each with the reason that it is to give. `baseUrl`: a development server with two live campaigns, three
 * starts a minute and one stream; `strict`: one that takes tokens, of which `viewer` and `nobody` are. */
export async function real({ createHeraldClient }, { baseUrl, userId, strict, viewer, nobody, short, website }) {
  const herald = createHeraldClient({ baseUrl, userId });
  const { agent, cache, mailbox, workflow } = herald;
  const as = (token) => createHeraldClient({ baseUrl: strict, getToken: async () => token });
  const email = (name) => ({ email: `${name}@acme.example` });
  const seen = {};
  const refuses = async (reason, call) => {
    seen[reason] = await refusal(call);
  };
  await refuses("CREDENTIALS_MISSING", as(null).tenant.getCaller({}));
  await refuses("CREDENTIALS_INVALID", as(nobody).tenant.getCaller({}));
  await refuses("TENANT_ID_INVALID", createHeraldClient({ baseUrl, userId: "../etc" }).tenant.getCaller({}));
  await refuses("ROLE_TOO_LOW", as(viewer).agent.resetAgent({ scope: 1 }));
  await refuses("STREAM_EXPIRED", collect(as(short).workflow.watchWorkflow({})));
  await refuses("FIELD_INVALID", agent.batchCreateProspects({ prospects: [{ email: "kim" }] }));
  await refuses("PAGE_TOKEN_INVALID", agent.listProspects({ pageToken: "x" }));
  const twice = { requestId: "once", prospects: [email("kim"), email("lee"), email("ana")] };
  const { results } = await agent.batchCreateProspects(twice);
  const [kim, lee, ana] = results.map(({ prospectId }) => prospectId);
  await refuses("REQUEST_ID_REUSED", agent.batchCreateProspects({ ...twice, prospects: [email("rosa")] }));
  const update = (prospect, more) => agent.updateProspect({ prospect, updateMask: { paths: Object.keys(more) } });
  await refuses("PROSPECT_NOT_FOUND", agent.getProspect({ prospectId: "pr_none" }));
  await refuses("PROSPECT_EMAIL_TAKEN", update({ id: kim, email: "lee@acme.example" }, { email: 1 }));
  await refuses("ETAG_MISMATCH", update({ id: kim, company: "Acme", etag: "old" }, { company: 1 }));
  await refuses("PROSPECT_NOT_DELETED", agent.undeleteProspect({ prospectId: ana }));
  await agent.deleteProspect({ prospectId: lee });
  await refuses("PROSPECT_DELETED", update({ id: lee, company: "Acme" }, { company: 1 }));
  await refuses("EMAIL_NOT_FOUND", agent.getEmail({ emailId: "em_none" }));
  await refuses("STRATEGY_NOT_FOUND", agent.getMarketingStrategy({ strategyId: "ms_none" }));
  await refuses("SUPPRESSION_NOT_FOUND", agent.removeSuppression({ email: "kim@acme.example" }));
  await refuses("MESSAGE_TOO_LARGE", agent.batchCreateProspects({ prospects: [{ ...email("big"), notes: "x".repeat(6_000_000) }] }));
  await cache.setCacheEntry({ key: "text", value: { kind: { case: "stringValue", value: "a" } } });
  await refuses("CACHE_KIND", cache.incrementCacheCounter({ key: "text" }));
  await refuses("CACHE_KEY_NOT_FOUND", cache.getCacheEntry({ key: "none" }));
  await refuses("MAILBOX_NOT_FOUND", mailbox.getMailbox({ mailboxId: "mb_none" }));
  const outbox = (name) => mailbox.createMailbox({ mailbox: { address: `${name}@acme.example`, kind: 2 } });
  await outbox("anna");
  await refuses("MAILBOX_EXISTS", outbox("anna"));
  await Promise.all(Array.from({ length: 99 }, (_, n) => outbox(`m${n}`)));
  await refuses("TOO_MANY_MAILBOXES", outbox("more"));
  const templated = (from) => workflow.previewTemplate({ from });
  await refuses("SENDER_MISSING", templated({ case: "templateId", value: "modern_tech" }));
  await refuses("TEMPLATE_NOT_FOUND", templated({ case: "templateId", value: "tp_none" }));
  await refuses("TEMPLATE_BUILT_IN", workflow.deleteTemplate({ templateId: "modern_tech" }));
  const own = () => workflow.createTemplate({ template: { name: "Own", texts: [{ language: "en", subject: "Hello", body: "Hello" }] } });
  const { template } = await own();
  await Promise.all(Array.from({ length: 99 }, own));
  await refuses("TOO_MANY_TEMPLATES", own());
  await agent.updateAgentConfig({ config: { sender: { name: "Anna Berg" } } });
  await refuses("NO_CAMPAIGN", workflow.getWorkflow({}));
  await refuses("CAMPAIGN_NOT_FOUND", workflow.getWorkflow({ campaignId: "cp_none" }));
  const start = () => workflow.startWorkflow({ website, templateId: template.id });
  const { campaign } = await start();
  await refuses("TEMPLATE_IN_USE", workflow.deleteTemplate({ templateId: template.id }));
  const stop = new AbortController();
  const stream = workflow.watchWorkflow({}, { signal: stop.signal })[Symbol.asyncIterator]();
  await stream.next();
  await refuses("TOO_MANY_STREAMS", collect(workflow.watchWorkflow({})));
  stop.abort();
  await start();
  await refuses("CAMPAIGN_AMBIGUOUS", workflow.pauseWorkflow({}));
  await refuses("CAMPAIGN_LIVE", start());
  await workflow.cancelWorkflow({ campaignId: campaign.id });
  await refuses("CAMPAIGN_STATE", workflow.pauseWorkflow({ campaignId: campaign.id }));
  const { campaign: third } = await start();
  await workflow.cancelWorkflow({ campaignId: third.id });
  await refuses("TOO_MANY_STARTS", start());
  return seen;
}

/** Who is called for when another user signs in, and what a getToken that never answers holds up. */
export async function identities({ createHeraldClient }, { baseUrl, tokens }) {
  const { stale, fresh, other, otherFresh } = tokens;
  const given = [stale, fresh, other, otherFresh, stale, fresh];
  const getToken = async () => given.shift() ?? null;
  const { tenant } = createHeraldClient({ baseUrl, getToken });
  const subjects = [];
  for (let n = 0; n < 3; n++) {
    subjects.push((await tenant.getCaller({})).caller.subject);
  }
  const signedOut = await refusal(tenant.getCaller({}));
  const hung = createHeraldClient({ baseUrl, getToken: () => new Promise(() => {}), timeoutMs: 200 });
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 100);
  const late = await refusal(hung.tenant.getCaller({}));
  return { subjects, signedOut, late, watched: await collect(hung.watch("", { signal: stop.signal })) };
}

/** Two calls wait for one fresh token; the one that asked for it gives up. */
export async function givesUp({ createHeraldClient }, { baseUrl, stale, fresh }) {
  const getToken = async ({ skipCache } = {}) => {
    await new Promise((done) => setTimeout(done, skipCache ? 300 : 0));
    return skipCache ? fresh : stale;
  };
  const { tenant } = createHeraldClient({ baseUrl, getToken });
  const stop = new AbortController();
  const first = refusal(tenant.getCaller({}, { signal: stop.signal }));
  const second = tenant.getCaller({});
  setTimeout(() => stop.abort(), 150);
  return [(await first).kind, (await second).caller.subject];
}

/** Every event from the first on. */
export async function events({ createHeraldClient }, { baseUrl }) {
  const herald = createHeraldClient({ baseUrl, userId: "user_a" });
  return (await collect(herald.watch("cp_a", { afterSeq: "0" }))).map(({ event }) => event.seq);
}

/** What cannot be sent at all. */
export async function mistakes({ createHeraldClient }, { baseUrl }) {
  const { agent, watch } = createHeraldClient({ baseUrl, userId: "user_a" });
  const number = await refusal(agent.listProspects({ pageSize: 1.5 }));
  const seq = await refusal(collect(watch("", { afterSeq: "bogus" })));
  const url = await refusal((async () => createHeraldClient({ baseUrl: "127.0.0.1:1", userId: "user_a" }))());
  return [number, seq, url].map(({ own, kind }) => [own, kind]);
}
