//! The templates that a tenant has written itself, beside the built-in ones, which nobody stores.

use super::campaigns::live_states;
use super::door::Scoped;
use super::error::{Noun, Result, StoreError, refuse_stale};
use super::request_id::{RequestId, once};
use super::sql::{Cells, Json, Record, Unreadable, json, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::domain::id::{CampaignId, TemplateId};
use crate::domain::mask::Mask;
use crate::domain::template::{self, MAX_TEMPLATES, Own, Template, TemplateSettings};

macro_rules! columns {
    () => {
        "id, name, description, texts, revision, create_time, update_time"
    };
}

tenant_sql! {
    GET = concat!("SELECT ", columns!(), " FROM templates WHERE tenant_id = $1 AND id = $2");
    LIST = concat!("SELECT ", columns!(), " FROM templates WHERE tenant_id = $1 ORDER BY create_time, id");
    IDS = "SELECT id FROM templates WHERE tenant_id = $1";
    INSERT =
        "INSERT INTO templates (tenant_id, id, name, description, texts, revision, create_time, update_time)
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6)";
    UPDATE =
        "UPDATE templates
         SET name = $3, description = $4, texts = $5, revision = revision + 1, update_time = $6
         WHERE tenant_id = $1 AND id = $2";
    DELETE = "DELETE FROM templates WHERE tenant_id = $1 AND id = $2";
    /// The live campaigns that have letters to write from it.
    TO_BE_WRITTEN = concat!(
        "SELECT id
         FROM campaigns
         WHERE tenant_id = $1 AND state IN ", live_states!(), " AND CAST(settings AS {json}) ->> 'template_id' = $2
           AND current_step NOT IN ('email_review', 'email_sending')
         ORDER BY create_time, id");
}

/// Adds a template.
pub struct CreateTemplate {
    /// Checked.
    pub settings: TemplateSettings,
    pub request_id: Option<RequestId>,
}

/// Changes the fields that the mask names.
pub struct UpdateTemplate {
    pub id: TemplateId,
    /// Checked for the fields of the mask.
    pub settings: TemplateSettings,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
}

/// Removes a template that no live campaign has letters to write from.
pub struct DeleteTemplate {
    pub id: TemplateId,
    /// Empty: whatever is there.
    pub etag: String,
}

impl Scoped<'_> {
    /// A built-in one, or one of the tenant's.
    pub async fn template(&self, id: &TemplateId) -> Result<Option<Template>> {
        match template::find(id) {
            Some(built_in) => Ok(Some(built_in.clone())),
            None => self.query(GET).bind(id.clone()).optional().await,
        }
    }

    /// The tenant's own, the oldest first.
    pub async fn own_templates(&self) -> Result<Vec<Template>> {
        self.query(LIST).all().await
    }
}

fn find(tx: &mut ScopedTx<'_>, id: &TemplateId) -> Result<Template> {
    tx.query(GET).bind(id).optional()?.ok_or(StoreError::NotFound(Noun::Template))
}

/// The same, if it is as it was when its etag was read.
fn find_as_read(tx: &mut ScopedTx<'_>, id: &TemplateId, etag: &str) -> Result<Template> {
    let template = find(tx, id)?;
    refuse_stale(etag, || template.etag(tx.tenant().as_str()))?;
    Ok(template)
}

// === impl CreateTemplate ===

impl Write for CreateTemplate {
    type Out = Template;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Template> {
        let id = once(tx, self.request_id.as_ref(), |tx| self.insert(tx))?;
        find(tx, &id)
    }
}

impl CreateTemplate {
    fn insert(&self, tx: &mut ScopedTx<'_>) -> Result<TemplateId> {
        let others: Vec<(TemplateId,)> = tx.query(IDS).all()?;
        if others.len() >= MAX_TEMPLATES {
            return Err(StoreError::TooManyTemplates);
        }
        let (id, now) = (TemplateId::make(tx.ids()), tx.now());
        let TemplateSettings { name, description, texts } = &self.settings;
        let insert = tx.query(INSERT).bind(&id).bind(name.clone()).bind(description.clone()).bind(json(texts));
        insert.bind(now).execute_exactly(1)?;
        Ok(id)
    }
}

impl CallWrite for CreateTemplate {
    fn touched(&self, template: &Template) -> Touched {
        Touched::ids([&template.id])
    }

    fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }
}

// === impl UpdateTemplate ===

impl Write for UpdateTemplate {
    type Out = Template;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Template> {
        let Template { mut settings, .. } = find_as_read(tx, &self.id, &self.etag)?;
        settings.merge(&self.settings, &self.mask);
        let TemplateSettings { name, description, texts } = settings;
        let now = tx.now();
        tx.query(UPDATE).bind(&self.id).bind(name).bind(description).bind(json(&texts)).bind(now).execute_exactly(1)?;
        find(tx, &self.id)
    }
}

impl CallWrite for UpdateTemplate {
    fn touched(&self, template: &Template) -> Touched {
        Touched::ids([&template.id]).with_fields(self.mask.fields().iter().copied())
    }
}

// === impl DeleteTemplate ===

impl Write for DeleteTemplate {
    type Out = ();

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<()> {
        find_as_read(tx, &self.id, &self.etag)?;
        let campaigns: Vec<(CampaignId,)> = tx.query(TO_BE_WRITTEN).bind(&self.id).all()?;
        if !campaigns.is_empty() {
            return Err(StoreError::TemplateInUse(campaigns.into_iter().map(|(id,)| id).collect()));
        }
        tx.query(DELETE).bind(&self.id).execute_exactly(1)
    }
}

impl CallWrite for DeleteTemplate {
    fn touched(&self, (): &()) -> Touched {
        Touched::ids([&self.id])
    }
}

// === impl Template ===

/// In the order of `columns!`.
impl Record for Template {
    fn read(cells: &mut Cells<'_>) -> Result<Self, Unreadable> {
        let id = cells.named("id")?;
        let (name, description) = (cells.named("name")?, cells.named("description")?);
        let texts = cells.named::<Json<_>>("texts")?.0;
        let revision = cells.named("revision")?;
        let (create_time, update_time) = (cells.named("create_time")?, cells.named("update_time")?);
        let own = Some(Own { revision, create_time, update_time });
        Ok(Self { id, settings: TemplateSettings { name, description, texts }, own })
    }
}
