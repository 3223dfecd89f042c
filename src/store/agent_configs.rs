//! The tenant's configuration.

use super::door::Scoped;
use super::error::{Result, refuse_stale};
use super::sql::{Json, json, row, tenant_sql};
use super::tx::ScopedTx;
use super::write::{CallWrite, Touched, Write};
use crate::domain::agent_config::{AgentConfig, AgentSettings};
use crate::domain::clock::Timestamp;
use crate::domain::mask::Mask;

tenant_sql! {
    GET =
        "SELECT settings, revision, create_time, update_time
         FROM agent_configs
         WHERE tenant_id = $1";
    PUT =
        "INSERT INTO agent_configs (tenant_id, settings, revision, create_time, update_time)
         VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (tenant_id) DO UPDATE
         SET settings = excluded.settings, revision = excluded.revision, update_time = excluded.update_time
         WHERE agent_configs.revision = excluded.revision - 1";
}

/// Changes the fields that the mask names.
pub struct UpdateAgentConfig {
    /// Checked for the fields of the mask.
    pub settings: AgentSettings,
    pub mask: Mask,
    /// Empty: whatever is there.
    pub etag: String,
}

row! {
    struct Row {
        settings: Json<AgentSettings>,
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
        let mut config = row.map(Row::config).unwrap_or_default();
        refuse_stale(&self.etag, || config.etag(tx.tenant().as_str()))?;
        config.settings.merge(&self.settings, &self.mask);
        let now = tx.now();
        config.revision += 1;
        config.create_time = config.create_time.or(Some(now));
        config.update_time = Some(now);
        let put = tx.query(PUT).bind(json(&config.settings)).bind(config.revision);
        put.bind(now).execute_exactly(1)?;
        Ok(config)
    }
}

impl CallWrite for UpdateAgentConfig {
    fn touched(&self, _: &AgentConfig) -> Touched {
        Touched::count(1).with_fields(self.mask.fields().iter().copied())
    }
}

impl Row {
    fn config(self) -> AgentConfig {
        AgentConfig {
            settings: self.settings.0,
            revision: self.revision,
            create_time: self.create_time,
            update_time: Some(self.update_time),
        }
    }
}
