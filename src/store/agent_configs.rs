//! The tenant's configuration.

use sqlx::FromRow;

use super::Scoped;
use super::error::{Result, StoreError};
use super::events::json;
use super::sql::tenant_sql;
use super::tx::ScopedTx;
use super::writer::Write;
use crate::domain::agent_config::{AgentConfig, AgentSettings};
use crate::domain::clock::Timestamp;
use crate::domain::mask::Mask;

tenant_sql! {
    GET =
        "SELECT settings, revision, update_time
         FROM agent_configs
         WHERE tenant_id = $1";
    PUT =
        "INSERT INTO agent_configs (tenant_id, settings, revision, update_time)
         VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant_id) DO UPDATE
         SET settings = excluded.settings, revision = excluded.revision, update_time = excluded.update_time
         WHERE revision = excluded.revision - 1";
}

/// Changes the fields that the mask names.
pub struct UpdateAgentConfig {
    /// Checked for the fields of the mask.
    pub settings: AgentSettings,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
}

#[derive(FromRow)]
struct Row {
    settings: String,
    revision: i64,
    update_time: i64,
}

impl Scoped<'_> {
    /// The configuration; the defaults if it was never changed.
    pub async fn agent_config(&self) -> Result<AgentConfig> {
        let row: Option<Row> = self.query(GET).optional().await?;
        row.map_or_else(|| Ok(AgentConfig::default()), Row::config)
    }
}

impl Write for UpdateAgentConfig {
    type Out = AgentConfig;

    async fn run(&self, tx: &mut ScopedTx<'_>) -> Result<AgentConfig> {
        let row: Option<Row> = tx.query(GET).optional().await?;
        let mut config = row.map_or_else(|| Ok(AgentConfig::default()), Row::config)?;
        if !self.etag.is_empty() && self.etag != config.etag(tx.tenant().as_str()) {
            return Err(StoreError::EtagMismatch);
        }
        config.settings.merge(&self.settings, &self.mask);
        config.revision += 1;
        config.update_time = Some(tx.now());
        let now = tx.now();
        let put = tx.query(PUT).bind(json(&config.settings)).bind(config.revision).bind(now.0);
        put.execute_exactly(1).await?;
        Ok(config)
    }
}

impl Row {
    fn config(self) -> Result<AgentConfig> {
        let settings = serde_json::from_str(&self.settings)
            .map_err(|error| StoreError::Broken(format!("the configuration cannot be read: {error}")))?;
        Ok(AgentConfig { settings, revision: self.revision, update_time: Some(Timestamp(self.update_time)) })
    }
}
