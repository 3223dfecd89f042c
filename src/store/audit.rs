//! The audit log: who did what. Every call that changes rows adds one row here, in the transaction that changes them.
//!
//! What a caller asks for goes through [`Store::by`], which knows who that is; a write that comes by another door does not
//! compile. What it has touched, the write says itself ([`CallWrite`]). A refused call changes nothing and has no row, and
//! neither has one that finds everything as it is to be.

use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};

use super::door::{Scoped, Store};
use super::error::Result;
use super::sql::{Cells, Executor, Json, Record, Statement, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::domain::clock::Timestamp;
use crate::domain::paging::{Page, PageRequest, page};
use crate::domain::text;
use crate::tenant::{Caller, Proof, Role, TenantId};

tenant_sql! {
    ADD =
        "INSERT INTO audit_events (
             tenant_id, seq, time, subject, role, proof, method, touched, ids, fields, call_id, request_id, unfinished)
         VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM audit_events WHERE tenant_id = $1),
             $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         RETURNING seq";
    GO_ON =
        "UPDATE audit_events
         SET touched = touched + $3, unfinished = $4
         WHERE tenant_id = $1 AND seq = $2";
    /// With $8, a time, the search ends at the first row that is older.
    LIST =
        "SELECT seq, time, subject, role, proof, method, touched, ids, fields, call_id, request_id, unfinished
         FROM audit_events a
         WHERE a.tenant_id = $1 AND a.seq < $2
           AND a.seq > COALESCE((
               SELECT e.seq
               FROM audit_events e
               WHERE e.tenant_id = $1 AND e.seq < $2 AND CAST($8 AS bigint) IS NOT NULL AND e.time < $8
               ORDER BY e.seq DESC
               LIMIT 1), 0)
           AND a.time >= $6 AND a.time < $7
           AND (CAST($4 AS text) IS NULL OR a.method = $4)
           AND (CAST($5 AS text) IS NULL OR a.subject = $5)
           AND (CAST($9 AS text) IS NULL OR EXISTS (SELECT 1 FROM {texts}(CAST(a.ids AS {json})) i WHERE i.value = $9))
         ORDER BY a.seq DESC
         LIMIT CAST($3 AS bigint)";
}

/// How far a clock may have been set back, in seconds, and a search by time still finds all.
const SET_BACK: i64 = 60 * 60;

/// What is kept of a subject, in characters: a token may hold any.
pub const MAX_SUBJECT: usize = 512;

/// Who makes a call, and which call it is.
#[derive(Debug, Clone)]
pub struct Actor {
    pub caller: Caller,
    /// The RPC's name, such as `UpdateProspect`.
    pub method: String,
    /// As the answer's `x-request-id` has it.
    pub call_id: String,
}

/// One tenant's rows, for what a caller changes: all writes through it are of one call, and have one row in the audit log.
pub struct Acting<'a> {
    scoped: Scoped<'a>,
    actor: &'a Actor,
    /// The number of the row, once it is there; they begin with 1.
    row: AtomicI64,
}

/// What a row of the audit log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    pub seq: i64,
    pub time: Timestamp,
    pub subject: String,
    /// None of an operator and of a link.
    pub role: Option<Role>,
    pub proof: Proof,
    pub method: String,
    pub touched: i64,
    pub ids: Vec<String>,
    pub fields: Vec<String>,
    pub call_id: String,
    pub request_id: String,
    pub unfinished: bool,
}

/// Which rows of the audit log are wanted: those that fit all that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub method: Option<String>,
    pub subject: Option<String>,
    /// An id that they have touched, among the first of each.
    pub id: Option<String>,
    pub since: Option<Timestamp>,
    /// And not at that time itself.
    pub until: Option<Timestamp>,
}

/// A write of a call, with its row in the audit log. Gives the number of the row, if there is one.
struct Audited<W> {
    write: W,
    actor: Actor,
    /// That of an earlier write of the call.
    row: Option<i64>,
}

/// What is written of a row, but for what was touched.
struct Entry<'a> {
    time: Timestamp,
    subject: &'a str,
    role: &'a str,
    proof: Proof,
    method: &'a str,
    call_id: &'a str,
    request_id: &'a str,
}

// === impl Store ===

impl Store {
    /// The door for what a caller changes.
    pub fn by<'a>(&'a self, actor: &'a Actor) -> Acting<'a> {
        Acting { scoped: self.scope(actor.caller.scope()), actor, row: AtomicI64::new(0) }
    }
}

// === impl Acting ===

impl Acting<'_> {
    /// Waits until the write is on the disk, and its row in the audit log with it. A further one completes that row.
    pub async fn write<W: CallWrite>(&self, write: W) -> Result<W::Out> {
        let row = Some(self.row.load(Ordering::Relaxed)).filter(|row| *row > 0);
        let (out, row) = self.scoped.commit(Audited { write, actor: self.actor.clone(), row }).await?;
        self.row.store(row.unwrap_or(0), Ordering::Relaxed);
        Ok(out)
    }
}

impl<'a> Deref for Acting<'a> {
    type Target = Scoped<'a>;

    fn deref(&self) -> &Scoped<'a> {
        &self.scoped
    }
}

// === impl Audited ===

impl<W: CallWrite> Write for Audited<W> {
    type Out = (W::Out, Option<i64>);

    const CHANGES_CAMPAIGN: bool = W::CHANGES_CAMPAIGN;

    fn weight(&self) -> usize {
        self.write.weight()
    }

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Self::Out> {
        let out = self.write.run(tx)?;
        let row = match self.row {
            Some(row) => {
                let touched = self.write.touched(&out);
                // Purged meanwhile, perhaps.
                tx.query(GO_ON).bind(row).bind(touched.count).bind(touched.unfinished).execute()?;
                Some(row)
            }
            None if tx.has_changed() => self.add(tx, &self.write.touched(&out))?,
            None => None,
        };
        Ok((out, row))
    }
}

impl<W: CallWrite> Audited<W> {
    /// Adds the row; its number.
    fn add(&self, tx: &mut ScopedTx<'_>, touched: &Touched) -> Result<Option<i64>> {
        let Actor { caller, method, call_id } = &self.actor;
        let request_id = self.write.request_id().map_or("", |request_id| &request_id.id);
        let (role, proof) = (caller.role().as_str(), caller.proof());
        Entry { time: tx.now(), subject: caller.subject(), role, proof, method, call_id, request_id }
            .add(tx.query(ADD), touched)
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    /// Of an operator's command.
    fn of_operator(command: &'a str, time: Timestamp) -> Self {
        Self::of_nobody(Proof::Operator, command, time)
    }

    /// Of what no caller has done.
    fn of_nobody(proof: Proof, method: &'a str, time: Timestamp) -> Self {
        Self { time, subject: "", role: "", proof, method, call_id: "", request_id: "" }
    }

    fn add(self, statement: Statement<'_>, touched: &Touched) -> Result<Option<i64>> {
        let Self { time, subject, role, proof, method, call_id, request_id } = self;
        let statement = statement
            .bind(time)
            .bind(text::cut(subject, MAX_SUBJECT).to_owned())
            .bind(role.to_owned())
            .bind(proof.as_str());
        let statement = statement.bind(method.to_owned()).bind(touched.count);
        let statement = statement.bind(json(&touched.ids)).bind(json(&touched.fields));
        let statement = statement.bind(call_id.to_owned()).bind(request_id.to_owned()).bind(touched.unfinished);
        let row: Option<(i64,)> = statement.optional()?;
        Ok(row.map(|(seq,)| seq))
    }
}

/// Adds a row that says that an operator's command has touched the tenant.
pub(super) fn add_operators(tx: &mut ScopedTx<'_>, command: &str, touched: &Touched) -> Result<()> {
    let entry = Entry::of_operator(command, tx.now());
    entry.add(tx.query(ADD), touched).map(|_| ())
}

/// Adds a row that says what somebody has done who followed a link.
pub(super) fn add_links(tx: &mut ScopedTx<'_>, method: &str, touched: &Touched) -> Result<()> {
    let entry = Entry::of_nobody(Proof::Link, method, tx.now());
    entry.add(tx.query(ADD), touched).map(|_| ())
}

/// Adds the row of an operator's command where no store is open.
pub(super) fn add_operators_on(
    executor: &dyn Executor,
    tenant: &TenantId,
    command: &str,
    time: Timestamp,
) -> Result<()> {
    let entry = Entry::of_operator(command, time);
    entry.add(ADD.on(executor, tenant), &Touched::default()).map(|_| ())
}

// === impl Scoped ===

impl Scoped<'_> {
    /// Newest first; the place of a row is its number.
    pub async fn audit_events(
        &self,
        request: &PageRequest<i64>,
        filter: &AuditFilter,
    ) -> Result<Page<AuditEvent, i64>> {
        let query = self.query(LIST).bind(request.after.unwrap_or(i64::MAX)).bind(request.size + 1);
        let query = query.bind(filter.method.clone()).bind(filter.subject.clone());
        let query = query.bind(filter.since.unwrap_or(Timestamp(i64::MIN)));
        let query = query.bind(filter.until.unwrap_or(Timestamp(i64::MAX)));
        let query = query.bind(filter.since.map(|since| since.plus_seconds(-SET_BACK))).bind(filter.id.clone());
        Ok(page(query.all().await?, request.size, |event: &AuditEvent| event.seq))
    }
}

// === impl AuditEvent ===

impl Record for AuditEvent {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let (seq, time, subject) = (cells.named("seq")?, cells.named("time")?, cells.named("subject")?);
        let column = cells.column();
        let role: String = cells.named("role")?;
        let role = if role.is_empty() { None } else { Some(Role::parse(&role).ok_or(Unreadable { column })?) };
        Ok(Self {
            seq,
            time,
            subject,
            role,
            proof: cells.named("proof")?,
            method: cells.named("method")?,
            touched: cells.named("touched")?,
            ids: cells.named::<Json<_>>("ids")?.0,
            fields: cells.named::<Json<_>>("fields")?.0,
            call_id: cells.named("call_id")?,
            request_id: cells.named("request_id")?,
            unfinished: cells.named("unfinished")?,
        })
    }
}
