//! The tenant's configuration.

use super::door::Scoped;
use super::error::{Inconsistency, Result, StoreError};
use super::sql::{Json, json, row, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::config::Secret;
use crate::domain::agent_config::{AgentConfig, AgentSettings};
use crate::domain::clock::Timestamp;
use crate::domain::mask::Mask;

tenant_sql! {
    GET =
        "SELECT settings, smtp_password, revision, create_time, update_time
         FROM agent_configs
         WHERE tenant_id = $1";
    PUT =
        "INSERT INTO agent_configs (tenant_id, settings, smtp_password, revision, create_time, update_time)
         VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (tenant_id) DO UPDATE
         SET settings = excluded.settings, smtp_password = excluded.smtp_password, revision = excluded.revision,
             update_time = excluded.update_time
         WHERE agent_configs.revision = excluded.revision - 1";
}

/// What the sealed password is.
const PASSWORD: &str = "smtp password";

/// Changes the fields that the mask names.
pub struct UpdateAgentConfig {
    /// Checked for the fields of the mask.
    pub settings: AgentSettings,
    /// Taken where the mask names it; an empty one removes it.
    pub smtp_password: Secret,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
}

row! {
    struct Row {
        settings: Json<AgentSettings>,
        smtp_password: Option<Vec<u8>>,
        revision: i64,
        create_time: Option<Timestamp>,
        update_time: Timestamp,
    }
}

impl Scoped<'_> {
    /// The configuration; the defaults if it was never changed.
    pub async fn agent_config(&self) -> Result<AgentConfig> {
        let row: Option<Row> = self.query(GET).optional().await?;
        Ok(row.map(Row::config).unwrap_or_default())
    }
}

impl Write for UpdateAgentConfig {
    type Out = AgentConfig;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<AgentConfig> {
        let row: Option<Row> = tx.query(GET).optional()?;
        let mut password = row.as_ref().and_then(|row| row.smtp_password.clone());
        let mut config = row.map(Row::config).unwrap_or_default();
        if !self.etag.is_empty() && self.etag != config.etag(tx.tenant().as_str()) {
            return Err(StoreError::EtagMismatch);
        }
        config.settings.merge(&self.settings, &self.mask);
        if self.mask.has("smtp.password") {
            password = self.sealed(tx)?;
            config.has_password = password.is_some();
        }
        let now = tx.now();
        config.revision += 1;
        config.create_time = config.create_time.or(Some(now));
        config.update_time = Some(now);
        let put = tx.query(PUT).bind(json(&config.settings)).bind(password).bind(config.revision);
        put.bind(now).execute_exactly(1)?;
        Ok(config)
    }
}

impl CallWrite for UpdateAgentConfig {
    fn touched(&self, _: &AgentConfig) -> Touched {
        Touched::count(1).with_fields(self.mask.fields().iter().copied())
    }
}

impl UpdateAgentConfig {
    fn sealed(&self, tx: &mut ScopedTx<'_>) -> Result<Option<Vec<u8>>> {
        let password = self.smtp_password.expose();
        if password.is_empty() {
            return Ok(None);
        }
        let sealed = tx.data_key()?.seal(PASSWORD, password, tx.ids().random());
        sealed.map(Some).ok_or_else(|| Inconsistency::NotSealed("a password").into())
    }
}

impl Row {
    fn config(self) -> AgentConfig {
        AgentConfig {
            settings: self.settings.0,
            has_password: self.smtp_password.is_some(),
            revision: self.revision,
            create_time: self.create_time,
            update_time: Some(self.update_time),
        }
    }
}
