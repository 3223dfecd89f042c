//! The limit of a batch: a bare SQLite transaction with the same rows and indexes, in this process.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::data::prospect;

const INSERT: &str = "INSERT INTO prospects (
        tenant_id, id, email, email_key, company, contact_name, position, industry, location, business_size, source,
        source_url, notes, tags, language, status, conversion_probability, priority_score, next_action,
        potential_interest, discovery_context, manual_intervention, auto_reply_enabled, search_key, industry_key,
        emails_sent, create_time, update_time, revision)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, 'discovered', ?16, ?17, ?18, ?19, ?20, 0,
        1, ?21, ?22, 0, ?23, ?23, 1)";

/// Rows per second of transactions of a thousand rows.
pub fn run(database: &Path, time: Duration, round: usize) -> anyhow::Result<f64> {
    let mut connection = Connection::open(database)?;
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")] {
        connection.pragma_update(None, name, value)?;
    }
    let p = prospect("");
    let tags = serde_json::to_string(&p.tags)?;
    let begun = Instant::now();
    let mut rows = 0;
    while begun.elapsed() < time {
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare(INSERT)?;
        for _ in 0..1_000 {
            let email = format!("bulk.{round}.{rows}@estufas-duarte.example");
            let search = format!("{}\n{}\n{email}", p.contact_name, p.company).to_lowercase();
            // Each round goes on where the one before may have ended.
            let now = 1_790_000_000_000_000_i64 + round as i64 * 1_000_000_000 + rows;
            insert.execute(params![
                "tenant_00000",
                format!("pr_{now:032x}"),
                email,
                email,
                p.company,
                p.contact_name,
                p.position,
                p.industry,
                p.location,
                p.business_size,
                p.source,
                p.source_url,
                p.notes,
                tags,
                p.language,
                p.conversion_probability,
                p.priority_score,
                p.next_action,
                p.potential_interest,
                p.discovery_context,
                search,
                p.industry.to_lowercase(),
                now,
            ])?;
            rows += 1;
        }
        drop(insert);
        transaction.commit()?;
    }
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}
