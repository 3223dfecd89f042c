// run.mjs HERALD: the client in Node and in Chromium, against a real Herald and against peers that answer as no Herald does.
//
// Prints a line for each thing that was seen: where the client ran, who answered, and what the client made of it.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import * as client from "../dist/index.js";
import * as pb from "../dist/pb.js";
import { freePort, Herald, Issuer, Peer, token, website } from "./herald.mjs";
import * as scenarios from "./scenarios.mjs";

const [binary] = process.argv.slice(2);
const say = (...words) => console.log(words.join("  "));
const sleep = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const bundle = await build({
  stdin: {
    contents: `import * as client from "./dist/index.js"; import * as scenarios from "./tests/scenarios.mjs";
      globalThis.run = (name, args, reached) => scenarios[name](client, args, reached);`,
    resolveDir: new URL("..", import.meta.url).pathname,
  },
  bundle: true,
  format: "iife",
  write: false,
});
const script = bundle.outputFiles[0].text;
const page = await Peer.start((response, request) => {
  response.setHeader("Content-Type", request.url === "/client.js" ? "text/javascript" : "text/html");
  response.end(request.url === "/client.js" ? script : '<!doctype html><title>client</title><script src="/client.js"></script>');
});
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});

/** A tab of its own context, or of another's. */
async function tab(context) {
  const opened = await (context ?? (await browser.newContext())).newPage();
  await opened.goto(page.url);
  return opened;
}

const inTab = (opened) => async (name, args, reached) => {
  if (reached) {
    await opened.exposeFunction("reached", reached);
  }
  return opened.evaluate(([name, args]) => globalThis.run(name, args, globalThis.reached), [name, args]);
};

const SCENARIOS = new Map(Object.entries(scenarios));

const PLACES = {
  node: async () => (name, args, reached) => SCENARIOS.get(name)(client, args, reached),
  chromium: async () => inTab(await tab()),
};

const CODES = Object.keys(client.Code).filter((name) => Number.isNaN(Number(name)));
const codeOf = (name) =>
  client.Code[CODES.find((code) => code.toUpperCase() === name.replaceAll("_", "").replace("CANCELLED", "CANCELED"))];

/** google.rpc.Status with an ErrorInfo, as Herald sends it. */
function status(code, reason, { field, retry } = {}) {
  const any = (type, value) =>
    new BinaryWriter().uint32(10).string(`type.googleapis.com/google.rpc.${type}`).uint32(18).bytes(value).finish();
  const entry = new BinaryWriter().uint32(10).string("key").uint32(18).string("value").finish();
  const info = new BinaryWriter().uint32(10).string(reason).uint32(18).string("herald").uint32(26).bytes(entry).finish();
  const writer = new BinaryWriter().uint32(8).int32(code).uint32(18).string("in words");
  writer.tag(3, WireType.LengthDelimited).bytes(any("ErrorInfo", info));
  if (field) {
    const violation = new BinaryWriter().uint32(10).string(field).uint32(18).string("is required").finish();
    writer.tag(3, WireType.LengthDelimited).bytes(any("BadRequest", new BinaryWriter().uint32(10).bytes(violation).finish()));
  }
  if (retry) {
    const delay = new BinaryWriter().uint32(16).int32(retry).finish();
    writer.tag(3, WireType.LengthDelimited).bytes(any("RetryInfo", new BinaryWriter().uint32(10).bytes(delay).finish()));
  }
  return Buffer.from(writer.finish()).toString("base64").replaceAll("=", "");
}

function refuse(response, code, details) {
  response.setHeader("Content-Type", "application/grpc-web+proto");
  response.setHeader("grpc-status", String(code));
  response.setHeader("grpc-message", "in words");
  if (details) {
    response.setHeader("grpc-status-details-bin", details);
  }
  response.end();
}

async function twoTenants(herald) {
  const tenants = ["user_a", "user_b"];
  const emails = Object.fromEntries(
    tenants.map((user) => [user, ["kim", "lee", "ana"].map((name) => `${name}@${user.replace("_", "-")}.example`)]),
  );
  const seen = await Promise.all(
    tenants.map(async (userId) => {
      const context = await browser.newContext();
      const opened = await tab(context);
      const network = [];
      opened.on("response", (response) => network.push(response.body().then(String, () => "")));
      const answer = await inTab(opened)("prospects", { baseUrl: herald.url, userId, emails: emails[userId] });
      const storage = JSON.stringify(await context.storageState({ indexedDB: true }));
      return { userId, answer, everything: JSON.stringify(answer) + storage + (await Promise.all(network)).join() };
    }),
  );
  for (const { userId, answer, everything } of seen) {
    const other = tenants.find((user) => user !== userId).replace("_", "-");
    assert.deepEqual([answer.created, answer.pages, answer.emails], [3, 2, [...emails[userId]].sort()]);
    assert.match(answer.json, /"createTime":"\d{4}-\d\d-\d\dT/);
    assert.ok(everything.includes(`kim@${userId.replace("_", "-")}`) && !everything.includes(other), "nothing of the other's");
    say("chromium", "Herald", `${userId} sees its own 3 prospects, and nothing of the other's in answers, storage or network`);
  }
}

async function everyReason(where, run) {
  const all = Object.entries(client.REASONS).flatMap(([code, reasons]) =>
    reasons.map((reason) => ({ name: reason, code: codeOf(code), reason })),
  );
  const bare = CODES.map((code) => ({ name: `code:${code}`, code: client.Code[code] }));
  assert.deepEqual([new Set(bare.map(({ code }) => code)).size, new Set(all.map(({ code }) => code)).size], [16, 12]);
  const peer = await Peer.start((response, request) => {
    const { code, reason } = [...all, ...bare].find(({ name }) => name === request.headers["x-reason"]);
    refuse(response, code, reason && status(code, reason, { field: code === client.Code.InvalidArgument ? "name" : "" }));
  });
  const seen = await run("reasons", { baseUrl: peer.url, names: [...all, ...bare].map(({ name }) => name) });
  peer.end();
  for (const { name, code, reason } of all) {
    const kind = code === client.Code.DeadlineExceeded ? "deadline" : "refused";
    const fields = code === client.Code.InvalidArgument ? [{ field: "name", description: "is required" }] : [];
    const right = { own: true, kind, code, reason, metadata: { key: "value" }, fields, message: "in words" };
    assert.deepEqual(seen[name], right);
    say(where, "a scripted peer", client.Code[code], reason, kind);
  }
  for (const { name, code } of bare) {
    const kind = { [client.Code.Canceled]: "aborted", [client.Code.DeadlineExceeded]: "deadline" }[code] ?? "transport";
    assert.deepEqual([seen[name].own, seen[name].kind, seen[name].reason], [true, kind, ""]);
    say(where, "a scripted peer", client.Code[code], "without a reason", kind);
  }
}

/** Those that a real Herald gives; the others above come from the scripted peer alone. */
async function realReasons(where, run, strict) {
  const env = { HERALD_LIMITS_LIVE_CAMPAIGNS: "2", HERALD_FAIRNESS_STARTS_PER_MINUTE: "3", HERALD_FAIRNESS_MAX_STREAMS: "1" };
  const herald = await Herald.start(binary, { env });
  const silent = await Peer.start(() => {});
  const viewer = token(`real_${where}`, 3600, { org_id: "org_a" });
  const owner = client.createHeraldClient({ baseUrl: strict.url, getToken: async () => token(`short_${where}`) });
  await owner.mailbox.createMailbox({ mailbox: { address: "anna@acme.example", kind: pb.MailboxKind.OUTBOX } });
  await owner.workflow.startWorkflow({ website: silent.url });
  const tokens = { viewer, nobody: token("user_a", -10), short: token(`short_${where}`, 2) };
  const seen = await run("real", { baseUrl: herald.url, userId: "user_a", strict: strict.url, website: silent.url, ...tokens });
  for (const [reason, error] of Object.entries(seen)) {
    if (where === "chromium" && reason === "MESSAGE_TOO_LARGE" && error.kind === "transport") {
      // It is answered before all of it was sent, and the connection closed: a browser looks no further.
      say(where, "Herald", "MESSAGE_TOO_LARGE", error.kind);
      continue;
    }
    assert.deepEqual([error.own, error.reason], [true, reason], JSON.stringify(error));
    const [code] = Object.entries(client.REASONS).find(([, reasons]) => reasons.includes(reason));
    assert.equal(error.code, codeOf(code));
    say(where, "Herald", client.Code[error.code], reason);
  }
  assert.ok(Object.keys(seen).length >= 34, `${Object.keys(seen).length}`);
  await herald.end();
  silent.end();
}

async function whatIsNotHerald(where, run) {
  const html = (status) => (response) => response.writeHead(status, { "Content-Type": "text/html" }).end("<h1>proxy</h1>");
  const answers = {
    "502 of a proxy": html(502),
    "a page of HTML": html(200),
    "404 of another server": html(404),
    "a connection that is cut": (response) => response.destroy(),
    "half an answer": (response) => {
      response.writeHead(200, { "Content-Type": "application/grpc-web+proto" });
      response.write(Buffer.from([0, 0, 0, 9, 9, 1]));
      setTimeout(() => response.destroy(), 20);
    },
  };
  await Promise.all(
    Object.entries(answers).map(async ([what, answer]) => {
      const peer = await Peer.start(answer);
      const { read, change } = await run("transport", { baseUrl: peer.url });
      for (const error of [read, change]) {
        assert.deepEqual([error.own, error.kind, error.code], [true, "transport", client.Code.Unavailable], what);
      }
      const count = (method) => peer.asked.filter((path) => path.endsWith(method)).length;
      const counts = [count("GetAgentConfig"), count("WriteSnapshot")];
      // Chromium itself asks once more where a connection that was kept is cut without a byte.
      const most = where === "chromium" && what === "a connection that is cut" ? [10, 2] : [5, 1];
      const right = counts.every((count, n) => count >= [5, 1][n] && count <= most[n]);
      assert.ok(right, `${what}: a read is tried again, a change is not: ${counts}`);
      peer.end();
      say(where, what, "transport", `a read was asked ${counts[0]} times, a change ${counts[1]}`);
    }),
  );
  const nobody = await run("transport", { baseUrl: `http://127.0.0.1:${await freePort()}` });
  assert.deepEqual([nobody.read.kind, nobody.change.kind], ["transport", "transport"]);
  say(where, "nobody", "transport");
  const silent = await Peer.start(() => {});
  const ends = await run("ends", { baseUrl: silent.url });
  assert.deepEqual([ends.aborted.kind, ends.late.kind, ends.watched], ["aborted", "deadline", []]);
  silent.end();
  say(where, "silence", "aborted by the caller's signal; deadline after 300 ms; an aborted watch ends quietly");
  const cut = await Peer.start((response) => response.writeHead(502).end());
  const request = await run("change", { baseUrl: cut.url });
  const ids = cut.bodies.map((body) => body.match(/[0-9a-f]{32}/)?.[0]);
  assert.deepEqual(
    [request, ids.length, new Set(ids.slice(0, 5)).size, new Set(ids).size],
    ['{"prospects":[{"email":"kim@acme.example"}]}', 10, 1, 2],
  );
  cut.end();
  say(where, "502 of a proxy", "a change with a request_id", "made 5 times with one id; the next call has another");
  // A stream that opens and is dead, and then one that lives.
  const dead = await Peer.start((response, _, asked) => {
    response.writeHead(200, { "Content-Type": "application/grpc-web+proto" });
    response.flushHeaders();
    if (asked > 3) {
      response.write(Buffer.from([0, 0, 0, 0, 5, 0x0a, 3, 0x0a, 1, 0x61]));
    }
  });
  const heard = await run("silence", { baseUrl: dead.url });
  assert.equal(heard.at(-1), "snapshot");
  assert.ok(dead.asked.length >= 5, `${dead.asked.length} streams`);
  dead.end();
  say(where, "streams that say nothing", `given up after 200 ms, ${dead.asked.length} of them`, heard.join(", "));
  // One is missing, and then some come twice.
  const streams = [
    ["1", "3"],
    ["1", "2", "3"],
  ];
  const gaps = await Peer.start((response, _, asked) => {
    response.writeHead(200, { "Content-Type": "application/grpc-web+proto" });
    for (const seq of streams[asked - 1]) {
      response.write(Buffer.from([0, 0, 0, 0, 4, 0x12, 2, 0x08, Number(seq)]));
    }
    const trailer = Buffer.from("grpc-status: 0\r\n");
    response.end(Buffer.concat([Buffer.from([0x80, 0, 0, 0, trailer.length]), trailer]));
  });
  assert.deepEqual([await run("events", { baseUrl: gaps.url }), gaps.asked.length], [["1", "2", "3"], 2]);
  gaps.end();
  say(where, "a scripted peer", "a gap, and events that come twice", "each once, in order");
  // Full, and when to ask again: a change that has no request_id is repeated, since nothing was done.
  const full = await Peer.start((response, _, asked) => {
    const code = client.Code.ResourceExhausted;
    asked < 3
      ? refuse(response, code, status(code, "TOO_MANY_CALLS", { retry: 50_000_000 }))
      : refuse(response, client.Code.NotFound, status(5, "NO_CAMPAIGN"));
  });
  const after = await run("transport", { baseUrl: full.url });
  assert.equal(after.read.reason, "NO_CAMPAIGN");
  assert.equal(full.asked.length, 4);
  full.end();
  say(where, "a scripted peer", "TOO_MANY_CALLS with RetryInfo, twice", "asked again, and answered");
}

async function credentials(where, run, herald, closed) {
  const stale = token("user_a", -10);
  const { asked, subjects } = await run("refresh", { baseUrl: herald.url, stale, fresh: token("user_a") });
  assert.deepEqual([asked, subjects], [1, ["user_a"]]);
  say(where, "Herald", "CREDENTIALS_INVALID for 20 calls at once", "one fresh token, all answered");
  const users = { stale, fresh: token("user_a"), other: token("user_b", -10), otherFresh: token("user_b") };
  const who = await run("identities", { baseUrl: herald.url, tokens: users });
  assert.deepEqual([who.subjects, who.signedOut.reason], [["user_a", "user_b", "user_a"], "CREDENTIALS_MISSING"]);
  assert.deepEqual([who.late.kind, who.watched], ["deadline", []]);
  say(
    where,
    "Herald",
    "another user signs in, then nobody",
    "nothing of the one before is sent again; a getToken that hangs holds nothing up",
  );
  const [gaveUp, other] = await run("givesUp", { baseUrl: herald.url, stale, fresh: token("user_a") });
  assert.deepEqual([gaveUp, other], ["aborted", "user_a"]);
  say(where, "Herald", "two calls wait for one fresh token", "one gives up, the other is answered");
  assert.deepEqual(await run("mistakes", { baseUrl: herald.url }), [
    [true, "caller"],
    [true, "caller"],
    [true, "caller"],
  ]);
  say(where, "nobody", "what cannot be sent", "told as the caller's");
  const { call, calls, watched, broken } = await run("refused", { baseUrl: herald.url, stale });
  assert.deepEqual([call.reason, calls, watched.reason], ["CREDENTIALS_INVALID", 2, "CREDENTIALS_INVALID"]);
  assert.deepEqual([broken.kind, broken.own], ["token", true]);
  say(where, "Herald", call.reason, "told after one fresh token, by a call and by a watch; getToken that throws is told as such");
  if (where === "chromium") {
    const { change } = await run("transport", { baseUrl: closed.url });
    assert.equal(change.kind, "transport", "the browser keeps the answer from a page whose origin is not let in");
    say(where, "Herald", "CORS refused", change.kind);
  }
}

/** Every event once, in order. */
function whole({ seqs, last }) {
  assert.deepEqual(
    seqs,
    Array.from({ length: Number(last) }, (_, n) => String(n + 1)),
  );
}

async function restart(where, run, site) {
  const herald = await Herald.start(binary);
  const reached = async () => {
    await herald.kill();
    setTimeout(() => herald.run(), 2_500);
  };
  const seen = await run("follow", { baseUrl: herald.url, userId: `user_${where}`, website: site.url, count: 40, at: "12" }, reached);
  whole(seen);
  const interruptions = seen.types.filter((type) => type !== "event");
  assert.deepEqual([seen.state, interruptions], [pb.CampaignState.COMPLETED, ["disconnected", "connected"]]);
  await herald.end();
  say(where, "Herald, killed and started again", `${seen.seqs.length} events, each once`, interruptions.join(", "));
}

async function tokensThatEnd(where, run, herald, site) {
  let given = 0;
  const tokens = await Peer.start((response) => {
    given += 1;
    response.end(token(`user_${where}`, 2));
  });
  const seen = await run("follow", { baseUrl: herald.url, tokenUrl: tokens.url, website: site.url, count: 3, cancelAfter: 6_000 });
  tokens.end();
  whole(seen);
  assert.deepEqual([seen.state, [...new Set(seen.types)]], [pb.CampaignState.CANCELLED, ["event"]]);
  assert.ok(seen.asked >= 8 && given === seen.asked, `${seen.asked} tokens`);
  say(where, "Herald", "tokens of two seconds", `${seen.seqs.length} events, each once, on ${seen.asked - 6} streams, silently`);
}

async function everyRpc(where, run, herald) {
  const services = {
    agent: pb.AgentService,
    cache: pb.CacheService,
    mailbox: pb.MailboxService,
    tenant: pb.TenantService,
    workflow: pb.WorkflowService,
  };
  const methods = Object.fromEntries(
    Object.entries(services).map(([name, { methods }]) => [name, methods.map(({ localName }) => localName)]),
  );
  const seen = await run("everyMethod", { baseUrl: herald.url, userId: `all_${where}`, services: methods });
  assert.equal(seen.length, Object.values(methods).flat().length);
  for (const { method, own, reason, kind } of seen) {
    assert.ok(own && reason !== "" && kind !== "transport", `${method}: ${reason} ${kind}`);
    say(where, "Herald", method, reason);
  }
}

/** Over plain HTTP a browser has six connections to a host. */
async function sevenTabs(herald) {
  const userId = "user_tabs";
  const { workflow } = client.createHeraldClient({ baseUrl: herald.url, userId });
  const silent = await Peer.start(() => {});
  await workflow.startWorkflow({ website: silent.url });
  const context = await browser.newContext();
  const tabs = [];
  for (let n = 0; n < 6; n++) {
    const opened = await tab(context);
    await inTab(opened)("beginToWatch", { baseUrl: herald.url, userId });
    await visibility(opened, "hidden");
    tabs.push(opened);
  }
  const seventh = await tab(context);
  const { subjects } = await inTab(seventh)("refresh", { baseUrl: herald.url, stale: "", fresh: "" }).catch(() => ({}));
  assert.equal(subjects, undefined, "a development server takes no empty token");
  const seen = await inTab(seventh)("prospects", { baseUrl: herald.url, userId, emails: ["kim@tabs.example"] });
  assert.equal(seen.created, 1);
  await visibility(tabs[0], "visible");
  await workflow.cancelWorkflow({});
  for (let tries = 0; !(await inTab(tabs[0])("watched")).includes("event"); tries++) {
    assert.ok(tries < 100, "a tab that is shown catches up");
    await sleep(50);
  }
  const others = await Promise.all(tabs.slice(1).map((opened) => inTab(opened)("watched")));
  assert.ok(others.every((types) => types.join() === "snapshot"));
  await context.close();
  silent.end();
  say("chromium", "Herald", "seven tabs", "six hidden ones hold no stream, the seventh is answered; one that is shown catches up");
}

async function visibility(opened, state) {
  await opened.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);
}

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));

/** Each example does what it says. */
async function examples(herald) {
  const { stdout } = await run("node", [`${root}/examples/node.mjs`, herald.url, "user_node"]);
  assert.match(stdout, /^I am user_node of tenant user_node\nines\.duarte@.*\nno campaign was started yet\n$/s);
  say("node", "Herald", "examples/node.mjs");

  const { outputFiles } = await build({
    entryPoints: [`${root}/tests/clerk.tsx`],
    alias: { "@clerk/clerk-react": `${root}/tests/clerk.tsx` },
    jsx: "automatic",
    bundle: true,
    write: false,
  });
  const files = {
    "/plain.html": ["text/html", await readFile(`${root}/examples/plain.html`)],
    "/browser.js": ["text/javascript", await readFile(`${root}/dist/browser.js`)],
    "/react.html": ["text/html", '<!doctype html><body><script type="module" src="/react.js"></script>'],
    "/react.js": ["text/javascript", outputFiles[0].text],
  };
  const pages = await Peer.start((response, request) => {
    const [type, text] = files[request.url.split("?")[0]] ?? ["text/plain", ""];
    response.setHeader("Content-Type", type);
    response.end(text);
  });
  const plain = await (await browser.newContext()).newPage();
  await plain.goto(`${pages.url}/plain.html?herald=${herald.url}`);
  await plain.fill("input", "rosa@plain.example");
  await plain.click("button");
  await plain.waitForSelector("li:has-text('rosa@plain.example')");
  await plain.fill("input", "two@@plain");
  await plain.evaluate(() => document.querySelector("form").setAttribute("novalidate", ""));
  await plain.click("button");
  await plain.waitForFunction(() => document.querySelector("[role=alert]").textContent !== "");
  say("chromium", "Herald", "examples/plain.html", await plain.textContent("[role=alert]"));

  // A user of Clerk's: tokens by the issuer's key, which Herald reads from its key set.
  const issuer = await Issuer.start();
  const strict = await Herald.start(binary, { dev: false, origins: [pages.url], env: issuer.env });
  const silent = await Peer.start(() => {});
  const user = { baseUrl: strict.url, getToken: async () => (await fetch(`${issuer.url}/token`)).text() };
  const { mailbox, workflow } = client.createHeraldClient(user);
  await mailbox.createMailbox({ mailbox: { address: "anna@acme.example", kind: pb.MailboxKind.OUTBOX } });
  const { campaign } = await workflow.startWorkflow({ website: silent.url });
  const react = await (await browser.newContext()).newPage();
  await react.goto(`${pages.url}/react.html?herald=${strict.url}&tokens=${issuer.url}/token`);
  await react.waitForSelector("h1:has-text('RUNNING')");
  await workflow.cancelWorkflow({ campaignId: campaign.id });
  await react.waitForSelector("h1:has-text('CANCELLED')");
  say("chromium", "Herald", "examples/react, signed in by a key set");
  await strict.end();
  for (const peer of [pages, silent, issuer.peer]) {
    peer.end();
  }
}

const herald = await Herald.start(binary);
const strict = await Herald.start(binary, { dev: false, origins: [page.url] });
const closed = await Herald.start(binary, { dev: false });
const site = await website();
try {
  await twoTenants(herald);
  await sevenTabs(herald);
  for (const [where, place] of Object.entries(PLACES)) {
    await everyReason(where, await place());
    await realReasons(where, await place(), strict);
    await whatIsNotHerald(where, await place());
    await credentials(where, await place(), strict, closed);
    await Promise.all([
      restart(where, await place(), site),
      tokensThatEnd(where, await place(), strict, site),
      everyRpc(where, await place(), herald),
    ]);
  }
  await examples(herald);
} finally {
  await browser.close();
  await Promise.all([herald, strict, closed].map((server) => server.end()));
  page.end();
  site.end();
}
