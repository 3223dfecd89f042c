//! What the writes of a group do by one statement: going to the database and back for each takes longer than its row does.
//!
//! Architecture invariant: each row goes with the tenant of its write, and is added or changed as that tenant's.

use std::collections::HashSet;

use serde_json::Value;

use super::error::Result;
use super::events::json;
use super::sql::system_sql;
use super::tx::{Done, SystemTx};
use crate::domain::clock::Timestamp;
use crate::domain::email::address_key;
use crate::domain::id::ProspectId;
use crate::domain::prospect::{Prospect, ProspectFields};
use crate::tenant::TenantId;

/// Adds the rows of a JSON array, each as `values` gives it, for the tenant; one whose address is held is passed over.
macro_rules! added {
    (tenant: $tenant:literal, now: $now:literal, rows: $rows:literal) => {
        concat!(
            "INSERT INTO prospects (
                 tenant_id, id, email, email_key, company, contact_name, position, industry, location, business_size,
                 source, source_url, notes, tags, language, status, conversion_probability, priority_score, next_action,
                 potential_interest, discovery_context, manual_intervention, auto_reply_enabled, search_key, industry_key,
                 emails_sent, create_time, update_time, revision)
             SELECT ", $tenant, ", value ->> '$[0]', value ->> '$[1]', value ->> '$[2]', value ->> '$[3]',
                 value ->> '$[4]', value ->> '$[5]', value ->> '$[6]', value ->> '$[7]', value ->> '$[8]',
                 value ->> '$[9]', value ->> '$[10]', value ->> '$[11]', value ->> '$[12]', value ->> '$[13]',
                 value ->> '$[14]', value ->> '$[15]', value ->> '$[16]', value ->> '$[17]', value ->> '$[18]',
                 value ->> '$[19]', value ->> '$[20]', value ->> '$[21]', value ->> '$[22]', value ->> '$[23]',
                 0, ", $now, ", ", $now, ", 1
             FROM jsonb_each(", $rows, ")
             WHERE true
             ON CONFLICT (tenant_id, email_key) WHERE delete_time IS NULL DO NOTHING"
        )
    };
}

/// Changes the rows of a JSON array, each as `values` gives it and then its revision, that still have that revision. `more`
/// is what else is set.
macro_rules! changed {
    (tenant: $tenant:literal, id: $id:literal, now: $now:literal, rows: $rows:literal, more: $more:literal) => {
        concat!(
            "UPDATE prospects
             SET company = value ->> '$[3]', contact_name = value ->> '$[4]', position = value ->> '$[5]',
                 industry = value ->> '$[6]', location = value ->> '$[7]', business_size = value ->> '$[8]',
                 source = value ->> '$[9]', source_url = value ->> '$[10]', notes = value ->> '$[11]',
                 tags = value ->> '$[12]', language = value ->> '$[13]', status = value ->> '$[14]',
                 conversion_probability = value ->> '$[15]', priority_score = value ->> '$[16]',
                 next_action = value ->> '$[17]', potential_interest = value ->> '$[18]',
                 discovery_context = value ->> '$[19]', manual_intervention = value ->> '$[20]',
                 auto_reply_enabled = value ->> '$[21]', search_key = value ->> '$[22]', industry_key = value ->> '$[23]',
                 update_time = ", $now, ", revision = revision + 1", $more, "
             FROM jsonb_each(", $rows, ")
             WHERE tenant_id = ", $tenant, " AND prospects.id = ", $id, " AND revision = value ->> '$[24]'"
        )
    };
}

pub(super) use {added, changed};

system_sql! {
    ADD_PROSPECTS = added!(tenant: "value ->> '$[24]'", now: "$1", rows: "$2");
    /// Which of the rows are there, by tenant and id. As one value: SQLite hands over each row by itself.
    ADDED_PROSPECTS =
        "SELECT json_group_array(json_array(p.tenant_id, p.id))
         FROM json_each($1) k
         CROSS JOIN prospects p
         WHERE p.tenant_id = k.value ->> '$[0]' AND p.id = k.value ->> '$[1]'";
    CHANGE_PROSPECTS = concat!(
        changed!(tenant: "value ->> '$[25]'", id: "value ->> '$[0]'", now: "$1", rows: "$2", more: ""),
        " RETURNING tenant_id, id");
}

/// What a write does to prospects, for [`Write::together`](super::writer::Write::together).
pub enum Together {
    Add(Vec<Row>),
    Change(Row),
}

/// A row as the texts read it.
pub struct Row {
    id: String,
    /// An array of its values, its tenant last.
    json: String,
}

/// The rows of a group.
pub(super) struct Rows {
    writes: usize,
    add: Vec<Part>,
    change: Vec<Part>,
    /// Where the rows are that are to be changed.
    places: HashSet<(TenantId, String)>,
}

/// The rows of one write.
struct Part {
    /// Which of the group's it is.
    write: usize,
    tenant: TenantId,
    rows: Vec<Row>,
}

// === impl Together ===

impl Together {
    pub(super) fn add(tenant: &TenantId, rows: &[(ProspectId, ProspectFields)]) -> Self {
        Self::Add(rows.iter().map(|(id, fields)| Row::new(tenant, id, values(id, fields))).collect())
    }

    /// The prospect is as it is to be, one revision after the row's.
    pub(super) fn change(tenant: &TenantId, prospect: &Prospect) -> Self {
        Self::Change(Row::new(tenant, &prospect.id, changed_values(prospect)))
    }
}

// === impl Row ===

impl Row {
    fn new(tenant: &TenantId, id: &ProspectId, mut values: Vec<Value>) -> Self {
        values.push(tenant.as_str().into());
        Self { id: id.to_string(), json: json(&values) }
    }
}

// === impl Rows ===

impl Rows {
    /// For a group of so many writes.
    pub(super) fn new(writes: usize) -> Self {
        Self { writes, add: Vec::new(), change: Vec::new(), places: HashSet::new() }
    }

    /// Takes what the group's write `write` does.
    pub(super) fn take(&mut self, write: usize, tenant: &TenantId, together: Together) {
        let part = |rows| Part { write, tenant: tenant.clone(), rows };
        match together {
            Together::Add(rows) => self.add.push(part(rows)),
            Together::Change(row) => {
                // One statement changes a row once; whoever comes second finds another revision.
                if self.places.insert((tenant.clone(), row.id.clone())) {
                    self.change.push(part(vec![row]));
                }
            }
        }
    }

    /// Changes them. What is done of each write; None for those that run by themselves.
    pub(super) async fn change(self, tx: &mut SystemTx<'_>, at: Timestamp) -> Result<Vec<Option<Done>>> {
        let mut done = vec![None; self.writes];
        if !self.add.is_empty() {
            note(&mut done, at, &self.add, &add(tx, at, &self.add).await?);
        }
        if !self.change.is_empty() {
            note(&mut done, at, &self.change, &change(tx, at, &self.change).await?);
        }
        Ok(done)
    }
}

/// The rows that are done, by tenant and id; None for all.
type Places = Option<HashSet<(String, String)>>;

fn note(done: &mut [Option<Done>], at: Timestamp, parts: &[Part], places: &Places) {
    for Part { write, tenant, rows } in parts {
        let is_done = |row: &&Row| {
            places.as_ref().is_none_or(|places| places.contains(&(tenant.as_str().to_owned(), row.id.clone())))
        };
        done[*write] = Some(Done { at, rows: rows.iter().filter(is_done).count() as u64 });
    }
}

/// Adds the rows, all but those whose address is held.
async fn add(tx: &mut SystemTx<'_>, now: Timestamp, parts: &[Part]) -> Result<Places> {
    for part in parts {
        tx.touch(&part.tenant, ADD_PROSPECTS.tables);
    }
    let added = tx.query_of_tenants(ADD_PROSPECTS).bind(now.0).bind(all(parts)).execute().await?;
    if added == parts.iter().map(|part| part.rows.len() as u64).sum::<u64>() {
        return Ok(None);
    }
    let ids = parts.iter().flat_map(|part| part.rows.iter().map(|row| (part.tenant.as_str(), row.id.as_str())));
    let there: Places = tx.query(ADDED_PROSPECTS).bind(json(&ids.collect::<Vec<_>>())).json().await?;
    Ok(Some(there.unwrap_or_default()))
}

/// Changes the rows, all but those that no longer have the revision which is given.
async fn change(tx: &mut SystemTx<'_>, now: Timestamp, parts: &[Part]) -> Result<Places> {
    for part in parts {
        part.rows.iter().for_each(|row| tx.touch_row(&part.tenant, CHANGE_PROSPECTS.tables, &row.id));
    }
    let query = tx.query_of_tenants(CHANGE_PROSPECTS).bind(now.0).bind(all(parts));
    let changed: Vec<(String, String)> = query.all().await?;
    Ok(Some(changed.into_iter().collect()))
}

/// All rows as one array.
fn all(parts: &[Part]) -> String {
    let rows: Vec<_> = parts.iter().flat_map(|part| part.rows.iter().map(|row| row.json.as_str())).collect();
    format!("[{}]", rows.join(","))
}

/// In the order that `added!` and `changed!` read them.
pub(super) fn values(id: &ProspectId, f: &ProspectFields) -> Vec<Value> {
    vec![
        id.as_str().into(),
        f.email.as_str().into(),
        address_key(&f.email).into(),
        f.company.as_str().into(),
        f.contact_name.as_str().into(),
        f.position.as_str().into(),
        f.industry.as_str().into(),
        f.location.as_str().into(),
        f.business_size.as_str().into(),
        f.source.as_str().into(),
        f.source_url.as_str().into(),
        f.notes.as_str().into(),
        json(&f.tags).into(),
        f.language.as_str().into(),
        f.status.as_str().into(),
        f.conversion_probability.into(),
        f.priority_score.into(),
        f.next_action.as_str().into(),
        f.potential_interest.as_str().into(),
        f.discovery_context.as_str().into(),
        // SQLite's JSON has booleans, its tables 0 and 1.
        u8::from(f.manual_intervention).into(),
        u8::from(f.auto_reply_enabled).into(),
        f.search_key().into(),
        f.industry.to_lowercase().into(),
    ]
}

/// The same of a prospect as it is to be, and the revision that its row has until then.
pub(super) fn changed_values(prospect: &Prospect) -> Vec<Value> {
    let mut values = values(&prospect.id, &prospect.fields);
    values.push((prospect.revision - 1).into());
    values
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use futures_util::future::join_all;
    use sqlx::ConnectOptions as _;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;
    use crate::domain::id::Ids;
    use crate::domain::mask::Mask;
    use crate::domain::prospect::ProspectFields;
    use crate::store::error::StoreError;
    use crate::store::{CreateProspects, UpdateProspect};
    use crate::testing;

    fn create(of: usize, emails: impl Iterator<Item = String>, ids: &Ids) -> CreateProspects {
        let rows = emails.map(|email| ProspectFields { email, company: format!("of {of}"), ..Default::default() });
        CreateProspects::new(rows.collect(), None, ids)
    }

    /// Creates that wait for the same commit are added by one statement, whoever they are of.
    #[tokio::test]
    async fn prospects_that_are_added_together_stay_with_their_tenants() {
        const ADDRESSES: usize = 6;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("herald.db");
        let store = testing::store(&path).await;
        let ids = store.ids();
        let tenants: Vec<_> = (0..8).map(|n| TenantId::parse(&format!("user_{n}")).expect("an id")).collect();
        for (n, tenant) in tenants.iter().enumerate() {
            let first = create(n, std::iter::once(format!("first{n}@example.com")), ids);
            store.queue.write(tenant, first).await.expect("written");
        }
        // While a large write is committed, the others come together: addresses of each tenant's own, then those of all, twice.
        let mut answers = Vec::new();
        for round in 0..3 {
            let large = create(0, (0..1_000).map(|n| format!("large{n}.{round}@example.com")), ids);
            let small = (0..tenants.len() * ADDRESSES).map(|n| {
                let (tenant, address) = (n % tenants.len(), n / tenants.len());
                let of = if round == 0 { tenant.to_string() } else { "all".to_owned() };
                (tenant, create(tenant, std::iter::once(format!("p{address}.of.{of}@example.com")), ids))
            });
            let writes = std::iter::once((0, large)).chain(small).map(|(n, write)| {
                let emails: Vec<_> = write.rows.iter().map(|(_, fields)| fields.email.clone()).collect();
                let (tenant, queue) = (&tenants[n], &store.queue);
                async move { (n, emails, queue.write(tenant, write).await.expect("written")) }
            });
            answers.extend(join_all(writes.collect::<Vec<_>>()).await);
        }
        store.close().await;

        let options = SqliteConnectOptions::new().filename(&path).disable_statement_logging();
        let mut connection = options.connect().await.expect("the database");
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("SELECT tenant_id, company, email, id FROM prospects")
                .fetch_all(&mut connection)
                .await
                .expect("rows");
        assert_eq!(rows.len(), 3_000 + tenants.len() * (1 + 2 * ADDRESSES));
        assert!(rows.iter().all(|(tenant, company, ..)| tenant.replace("user_", "of ") == *company));
        let counted: Vec<(i64,)> = sqlx::query_as("SELECT value FROM counters WHERE noun = 'prospects'")
            .fetch_all(&mut connection)
            .await
            .expect("counters");
        assert_eq!(counted.iter().map(|(count,)| count).sum::<i64>(), i64::try_from(rows.len()).expect("a count"));
        let places: HashMap<_, _> = rows.iter().map(|(t, _, email, id)| ((t.as_str(), email.as_str()), id)).collect();
        let mut made = 0;
        for (n, emails, results) in &answers {
            for (email, result) in emails.iter().zip(results) {
                assert_eq!(places[&(tenants[*n].as_str(), email.as_str())], result.id.as_str(), "user_{n} {email}");
                made += usize::from(!result.duplicate);
            }
        }
        assert_eq!(made, 3_000 + tenants.len() * 2 * ADDRESSES);
    }

    /// Updates that wait for the same commit are made by one statement, those of the same row one after the other, and one
    /// that is refused keeps nobody back. Every tenant has the same ids here, as imported ones may be.
    #[tokio::test]
    async fn prospects_that_are_changed_together_stay_with_their_tenants() {
        const FIELDS: [&str; 4] = ["company", "location", "notes", "position"];
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("herald.db");
        let store = testing::store(&path).await;
        let ids = store.ids();
        let tenants: Vec<_> = (0..6).map(|n| TenantId::parse(&format!("user_{n}")).expect("an id")).collect();
        let id = ProspectId::make(ids);
        let update = |field: &'static str, tenant: &TenantId, etag: &str, seen: Option<&Prospect>| {
            let text = format!("{field} of {tenant}");
            let fields = ProspectFields {
                company: text.clone(),
                location: text.clone(),
                notes: text.clone(),
                position: text,
                ..Default::default()
            };
            let mask = Mask::parse(&[field.to_owned()], &FIELDS, Vec::new()).expect("a mask");
            UpdateProspect { id: id.clone(), fields, mask, etag: etag.to_owned(), seen: seen.cloned() }
        };
        let mut seen = Vec::new();
        for (n, tenant) in tenants.iter().enumerate() {
            let mut made = create(n, std::iter::once(format!("p@{tenant}.example")), ids);
            made.rows[0].0 = id.clone();
            store.queue.write(tenant, made).await.expect("written");
            seen.push(store.queue.write(tenant, update("notes", tenant, "", None)).await.expect("written"));
        }
        // While a large write is committed, the others come together.
        let large = create(0, (0..1_000).map(|n| format!("large{n}@example.com")), ids);
        let large = store.queue.write(&tenants[0], large);
        let refused =
            tenants.iter().zip(&seen).map(|(t, seen)| store.queue.write(t, update("notes", t, "another", Some(seen))));
        let changes = FIELDS.iter().flat_map(|field| tenants.iter().zip(&seen).map(move |(t, seen)| (field, t, seen)));
        let changes = changes.map(|(field, t, seen)| {
            let etag = if *field == FIELDS[0] { seen.etag(t.as_str()) } else { String::new() };
            store.queue.write(t, update(field, t, &etag, Some(seen)))
        });
        let (refused, changes) = (join_all(refused.collect::<Vec<_>>()), join_all(changes.collect::<Vec<_>>()));
        let (large, refused, changes) = tokio::join!(large, refused, changes);
        large.expect("written");
        assert!(refused.iter().all(|answer| matches!(answer, Err(StoreError::EtagMismatch))), "{refused:?}");
        let changes: Vec<_> = changes.into_iter().map(|answer| answer.expect("written")).collect();
        store.close().await;

        // All that were the first for their row were made at the same time, and each row has had all of its changes.
        let firsts: HashSet<_> = changes.iter().filter(|p| p.revision == 3).map(|p| p.update_time).collect();
        assert_eq!(firsts.len(), 1, "{firsts:?}");
        let options = SqliteConnectOptions::new().filename(&path).disable_statement_logging();
        let mut connection = options.connect().await.expect("the database");
        for (n, tenant) in tenants.iter().enumerate() {
            let answers: Vec<_> = changes.iter().skip(n).step_by(tenants.len()).collect();
            let mut revisions: Vec<_> = answers.iter().map(|p| p.revision).collect();
            revisions.sort_unstable();
            assert_eq!(revisions, [3, 4, 5, 6], "{tenant}");
            let row: (String, String, String, String, i64, i64) = sqlx::query_as(
                "SELECT company, location, notes, position, revision, update_time
                 FROM prospects
                 WHERE tenant_id = $1 AND id = $2",
            )
            .bind(tenant.as_str())
            .bind(id.as_str())
            .fetch_one(&mut connection)
            .await
            .expect("the row");
            let text = |field: &str| format!("{field} of {tenant}");
            let last = answers.iter().find(|p| p.revision == 6).expect("the last").update_time.0;
            assert_eq!(row, (text("company"), text("location"), text("notes"), text("position"), 6, last));
        }
    }
}
