//! Prospects.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::Scoped;
use super::error::{Noun, Result, StoreError};
use super::events::json;
use super::idempotency::RequestId;
use super::sql::tenant_sql;
use super::tx::ScopedTx;
use super::writer::Write;
use crate::domain::clock::Timestamp;
use crate::domain::email::address_key;
use crate::domain::id::{Ids, ProspectId};
use crate::domain::mask::Mask;
use crate::domain::paging::{Page, PageRequest, TimeCursor, page};
use crate::domain::prospect::{Prospect, ProspectFields, ProspectStatus};

macro_rules! columns {
    () => {
        "id, email, company, contact_name, position, industry, location, business_size, source, source_url, notes, tags,
         language, status, emails_sent, last_contact_time, create_time, update_time, revision"
    };
}

tenant_sql! {
    GET = concat!("SELECT ", columns!(), " FROM prospects WHERE tenant_id = $1 AND id = $2");
    LIST = concat!(
        "SELECT ", columns!(), "
         FROM prospects
         WHERE tenant_id = $1 AND (create_time, id) < ($2, $3)
         ORDER BY create_time DESC, id DESC
         LIMIT $4");
    LIST_BY_STATUS = concat!(
        "SELECT ", columns!(), "
         FROM prospects
         WHERE tenant_id = $1 AND status = $5 AND (create_time, id) < ($2, $3)
         ORDER BY create_time DESC, id DESC
         LIMIT $4");
    HOLDERS =
        "SELECT email_key, id
         FROM prospects
         WHERE tenant_id = $1 AND email_key IN (SELECT value FROM json_each($2))";
    INSERT =
        "INSERT INTO prospects (
             tenant_id, id, email, email_key, company, contact_name, position, industry, location, business_size, source,
             source_url, notes, tags, language, status, emails_sent, create_time, update_time, revision)
         SELECT $1, value ->> '$[0]', value ->> '$[1]', value ->> '$[2]', value ->> '$[3]', value ->> '$[4]',
             value ->> '$[5]', value ->> '$[6]', value ->> '$[7]', value ->> '$[8]', value ->> '$[9]', value ->> '$[10]',
             value ->> '$[11]', value ->> '$[12]', value ->> '$[13]', value ->> '$[14]', 0, $2, $2, 1
         FROM json_each($3)";
    UPDATE =
        "UPDATE prospects
         SET email = $4, email_key = $5, company = $6, contact_name = $7, position = $8, industry = $9, location = $10,
             business_size = $11, source = $12, source_url = $13, notes = $14, tags = $15, language = $16, status = $17,
             update_time = $18, revision = revision + 1
         WHERE tenant_id = $1 AND id = $2 AND revision = $3";
}

/// Adds prospects; a row whose address is held already is a duplicate.
pub struct CreateProspects {
    /// Each with the id that it gets if it is new. Checked.
    pub rows: Vec<(ProspectId, ProspectFields)>,
    pub request_id: Option<RequestId>,
}

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The prospect that was made, or the one that holds the address.
    pub id: ProspectId,
    pub duplicate: bool,
}

/// Changes the fields that the mask names.
pub struct UpdateProspect {
    pub id: ProspectId,
    /// Checked for the fields of the mask.
    pub fields: ProspectFields,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
}

#[derive(FromRow)]
pub(super) struct ProspectRow {
    id: ProspectId,
    email: String,
    company: String,
    contact_name: String,
    position: String,
    industry: String,
    location: String,
    business_size: String,
    source: String,
    source_url: String,
    notes: String,
    tags: String,
    language: String,
    status: String,
    emails_sent: i64,
    last_contact_time: Option<i64>,
    create_time: i64,
    update_time: i64,
    revision: i64,
}

impl Scoped<'_> {
    pub async fn prospect(&self, id: &ProspectId) -> Result<Option<Prospect>> {
        let row: Option<ProspectRow> = self.query(GET).bind(id.clone()).optional().await?;
        row.map(ProspectRow::prospect).transpose()
    }

    /// Newest first.
    pub async fn prospects(
        &self,
        request: &PageRequest<TimeCursor>,
        status: Option<ProspectStatus>,
    ) -> Result<Page<Prospect, TimeCursor>> {
        let (time, id) = newest_first(request);
        let query = if status.is_some() { self.query(LIST_BY_STATUS) } else { self.query(LIST) };
        let mut query = query.bind(time).bind(id).bind(request.size + 1);
        if let Some(status) = status {
            query = query.bind(status.as_str());
        }
        let rows: Vec<ProspectRow> = query.all().await?;
        let rows = rows.into_iter().map(ProspectRow::prospect).collect::<Result<_>>()?;
        Ok(page(rows, request.size, |p: &Prospect| TimeCursor { time: p.create_time.0, id: p.id.to_string() }))
    }
}

/// The place after which a newest-first page begins; before everything for the first.
pub(super) fn newest_first(request: &PageRequest<TimeCursor>) -> (i64, String) {
    request.after.as_ref().map_or_else(|| (i64::MAX, String::new()), |c| (c.time, c.id.clone()))
}

impl CreateProspects {
    /// Gives each row its id; they sort as the rows do.
    pub fn new(rows: Vec<ProspectFields>, request_id: Option<RequestId>, ids: &Ids) -> Self {
        let mut made: Vec<_> = rows.iter().map(|_| ProspectId::make(ids)).collect();
        made.sort_unstable();
        Self { rows: made.into_iter().zip(rows).collect(), request_id }
    }
}

impl Write for CreateProspects {
    type Out = Vec<Created>;

    fn weight(&self) -> usize {
        self.rows.len()
    }

    async fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Vec<Created>> {
        if let Some(request_id) = &self.request_id
            && let Some(before) = request_id.find(tx).await?
        {
            return Ok(before);
        }
        let keys: Vec<String> = self.rows.iter().map(|(_, fields)| address_key(&fields.email)).collect();
        let holders: Vec<(String, ProspectId)> = tx.query(HOLDERS).bind(json(&keys)).all().await?;
        let mut holders: HashMap<_, _> = holders.into_iter().collect();
        let mut results = Vec::with_capacity(self.rows.len());
        let mut new = Vec::new();
        for ((id, fields), key) in self.rows.iter().zip(keys) {
            if let Some(holder) = holders.get(&key) {
                results.push(Created { id: holder.clone(), duplicate: true });
                continue;
            }
            new.push(insert_values(id, fields, &key));
            holders.insert(key, id.clone());
            results.push(Created { id: id.clone(), duplicate: false });
        }
        if !new.is_empty() {
            let now = tx.now();
            tx.query(INSERT).bind(now.0).bind(json(&new)).execute_exactly(new.len()).await?;
            tx.count("prospects", new.len()).await?;
        }
        if let Some(request_id) = &self.request_id {
            request_id.keep(tx, &results).await?;
        }
        Ok(results)
    }
}

impl Write for UpdateProspect {
    type Out = Prospect;

    async fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Prospect> {
        let row: Option<ProspectRow> = tx.query(GET).bind(self.id.clone()).optional().await?;
        let mut prospect = row.ok_or(StoreError::NotFound(Noun::Prospect))?.prospect()?;
        if !self.etag.is_empty() && self.etag != prospect.etag(tx.tenant().as_str()) {
            return Err(StoreError::EtagMismatch);
        }
        prospect.fields.merge(&self.fields, &self.mask);
        if self.mask.has("email") {
            let keys = [address_key(&prospect.fields.email)];
            let holders: Vec<(String, ProspectId)> = tx.query(HOLDERS).bind(json(&keys)).all().await?;
            if holders.iter().any(|(_, holder)| *holder != prospect.id) {
                return Err(StoreError::EmailTaken);
            }
        }
        prospect.update_time = tx.now();
        let f = &prospect.fields;
        let query = tx.query(UPDATE).bind(prospect.id.clone()).bind(prospect.revision);
        let query = query.bind(f.email.clone()).bind(address_key(&f.email)).bind(f.company.clone());
        let query = query.bind(f.contact_name.clone()).bind(f.position.clone()).bind(f.industry.clone());
        let query = query.bind(f.location.clone()).bind(f.business_size.clone()).bind(f.source.clone());
        let query = query.bind(f.source_url.clone()).bind(f.notes.clone()).bind(json(&f.tags));
        let query = query.bind(f.language.clone()).bind(f.status.as_str()).bind(prospect.update_time.0);
        query.execute_exactly(1).await?;
        prospect.revision += 1;
        Ok(prospect)
    }
}

/// In the order that INSERT reads them.
fn insert_values(id: &ProspectId, f: &ProspectFields, key: &str) -> [String; 15] {
    [
        id.to_string(),
        f.email.clone(),
        key.to_owned(),
        f.company.clone(),
        f.contact_name.clone(),
        f.position.clone(),
        f.industry.clone(),
        f.location.clone(),
        f.business_size.clone(),
        f.source.clone(),
        f.source_url.clone(),
        f.notes.clone(),
        json(&f.tags),
        f.language.clone(),
        f.status.as_str().to_owned(),
    ]
}

impl ProspectRow {
    pub(super) fn prospect(self) -> Result<Prospect> {
        let broken = |what: &str| StoreError::Broken(format!("prospect {} has a {what} that cannot be", self.id));
        let status = ProspectStatus::parse(&self.status).ok_or_else(|| broken("status"))?;
        let tags = serde_json::from_str(&self.tags).map_err(|_| broken("list of tags"))?;
        Ok(Prospect {
            fields: ProspectFields {
                email: self.email,
                company: self.company,
                contact_name: self.contact_name,
                position: self.position,
                industry: self.industry,
                location: self.location,
                business_size: self.business_size,
                source: self.source,
                source_url: self.source_url,
                notes: self.notes,
                tags,
                language: self.language,
                status,
            },
            emails_sent: u32::try_from(self.emails_sent).unwrap_or(0),
            last_contact_time: self.last_contact_time.map(Timestamp),
            create_time: Timestamp(self.create_time),
            update_time: Timestamp(self.update_time),
            revision: self.revision,
            id: self.id,
        })
    }
}
