// What Herald is compared with: the server that it replaces, written as fast as its parts go. Express 5, better-sqlite3
// and ioredis on a copy of Herald's own database: the same tables and indexes, WAL, synchronous=FULL. Every statement is
// prepared once, a verified token is remembered, nothing is logged, and with a Redis an answer is kept there as the
// text that is sent.
//
//   node server.js DATABASE          HS256_SECRET must be set; REDIS_URL turns the cache on
//
// Prints "listening on PORT" once it answers.

import { randomBytes } from "node:crypto";
import Database from "better-sqlite3";
import express from "express";
import { Redis } from "ioredis";
import jwt from "jsonwebtoken";

const secret = process.env.HS256_SECRET;
const db = new Database(process.argv[2], { fileMustExist: true });
db.pragma("journal_mode = WAL");
db.pragma("synchronous = FULL");
db.pragma("foreign_keys = ON");
const redis = process.env.REDIS_URL ? new Redis(process.env.REDIS_URL) : null;
const TTL_SECONDS = 3600;

// The views of Herald's API.
const BASIC = `id, email, company, contact_name AS contactName, position, industry, location,
  business_size AS businessSize, source, source_url AS sourceUrl, tags, language, status,
  conversion_probability AS conversionProbability, priority_score AS priorityScore,
  manual_intervention AS manualIntervention, auto_reply_enabled AS autoReplyEnabled, emails_sent AS emailsSent,
  last_contact_time AS lastContactTime, replies_received AS repliesReceived, last_reply_time AS lastReplyTime,
  create_time AS createTime, update_time AS updateTime, revision`;
const FULL = `${BASIC}, notes, next_action AS nextAction, potential_interest AS potentialInterest,
  discovery_context AS discoveryContext, last_reply AS lastReply`;

const get = db.prepare(`SELECT ${FULL} FROM prospects WHERE tenant_id = ? AND id = ? AND delete_time IS NULL`);
const list = db.prepare(
  `SELECT ${BASIC} FROM prospects WHERE tenant_id = ? AND delete_time IS NULL
   ORDER BY create_time DESC, id DESC LIMIT +?`,
);
const holder = db.prepare("SELECT id FROM prospects WHERE tenant_id = ? AND email_key = ? AND delete_time IS NULL");
const insert = db.prepare(
  `INSERT INTO prospects (
     tenant_id, id, email, email_key, company, contact_name, position, industry, location, business_size, source,
     source_url, notes, tags, language, status, conversion_probability, priority_score, next_action,
     potential_interest, discovery_context, manual_intervention, auto_reply_enabled, search_key, industry_key,
     emails_sent, create_time, update_time, revision)
   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'discovered', ?, ?, ?, ?, ?, 0, 1, ?, ?, 0, ?, ?, 1)`,
);
const update = db.prepare(
  `UPDATE prospects SET notes = ?, priority_score = ?, update_time = ?, revision = revision + 1
   WHERE tenant_id = ? AND id = ? AND delete_time IS NULL RETURNING ${FULL}`,
);
const create = db.transaction((tenant, p) => {
  const key = p.email.toLowerCase();
  const there = holder.get(tenant, key);
  if (there) return { id: there.id, duplicate: true };
  const id = `pr_${randomBytes(16).toString("hex")}`;
  const now = Date.now() * 1000;
  insert.run(
    tenant, id, p.email, key, p.company ?? "", p.contactName ?? "", p.position ?? "", p.industry ?? "",
    p.location ?? "", p.businessSize ?? "", p.source ?? "", p.sourceUrl ?? "", p.notes ?? "",
    JSON.stringify(p.tags ?? []), p.language ?? "", p.conversionProbability ?? null, p.priorityScore ?? 0,
    p.nextAction ?? "", p.potentialInterest ?? "", p.discoveryContext ?? "",
    `${p.contactName ?? ""}\n${p.company ?? ""}\n${p.email}`.toLowerCase(), (p.industry ?? "").toLowerCase(), now, now,
  );
  return { id, duplicate: false };
});

const app = express();
app.disable("x-powered-by");
app.disable("etag");
app.use(express.json());

const verified = new Map();
app.use((request, response, next) => {
  const header = request.headers.authorization ?? "";
  let claims = verified.get(header);
  if (!claims || claims.exp * 1000 < Date.now()) {
    try {
      claims = jwt.verify(header.replace(/^Bearer /, ""), secret, { algorithms: ["HS256"] });
    } catch {
      response.status(401).json({ success: false, error: "unauthenticated" });
      return;
    }
    if (verified.size > 100_000) verified.clear();
    verified.set(header, claims);
  }
  request.userId = claims.sub;
  next();
});

// An answer from the cache, or made and kept there.
async function cached(response, key, make) {
  let text = redis ? await redis.get(key) : null;
  if (text === null) {
    const data = make();
    if (data === undefined) {
      response.status(404).json({ success: false, error: "not found" });
      return;
    }
    text = JSON.stringify({ success: true, data });
    if (redis) await redis.setex(key, TTL_SECONDS, text);
  }
  response.type("json").send(text);
}

function typed(prospect) {
  if (prospect) prospect.tags = JSON.parse(prospect.tags);
  return prospect;
}

async function forget(tenant, id) {
  if (redis) await redis.del(`user:${tenant}:prospect:${id}`, `user:${tenant}:prospects:50`);
}

app.get("/api/agent/prospects/:id", (request, response) => {
  const { userId } = request;
  const { id } = request.params;
  return cached(response, `user:${userId}:prospect:${id}`, () => typed(get.get(userId, id)));
});

app.get("/api/agent/prospects", (request, response) => {
  const { userId } = request;
  const limit = Math.min(Number(request.query.limit ?? 50), 1000);
  return cached(response, `user:${userId}:prospects:${limit}`, () => list.all(userId, limit).map(typed));
});

app.post("/api/agent/prospects", async (request, response) => {
  const created = create(request.userId, request.body);
  await forget(request.userId, created.id);
  response.status(201).json({ success: true, data: created });
});

app.patch("/api/agent/prospects/:id", async (request, response) => {
  const { notes, priorityScore } = request.body;
  const changed = update.get(notes, priorityScore, Date.now() * 1000, request.userId, request.params.id);
  if (!changed) {
    response.status(404).json({ success: false, error: "not found" });
    return;
  }
  await forget(request.userId, request.params.id);
  response.json({ success: true, data: typed(changed) });
});

const server = app.listen(0, "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
