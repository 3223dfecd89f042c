//! Reads prospects from a JSON file in protobuf's JSON: a list of the API, as `herald prospects export` writes it, or a bare array of
//! prospects. What the server makes itself (ids, times, counts) is passed over.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::import::{self, BATCH_BYTES, BATCH_ROWS, Batches, MOST_FAULTS, Rows};
use super::input;
use crate::pb;
use crate::rpc::prospect_faults;

/// The rows of a file, checked as the server would. The error names each fault by its row, from 1; or the rows that have one are passed
/// over.
pub(super) fn read_json(path: &Path, skip_broken: bool) -> anyhow::Result<(Vec<pb::Prospect>, Rows)> {
    let name = input::name(path);
    let text = input::bytes(path, &input::LIST)?;
    let value: Value = serde_json::from_slice(&text).with_context(|| format!("{name} is no JSON"))?;
    let values = match value {
        Value::Array(values) => values,
        // As it is listed and exported, and as BatchCreateProspects takes it.
        Value::Object(mut object) => match object.remove("prospects") {
            Some(Value::Array(values)) => values,
            _ => bail!("{name} holds no list of prospects"),
        },
        _ => bail!("{name} holds no list of prospects"),
    };
    if values.is_empty() {
        bail!("{name} has no prospects");
    }
    let (mut rows, mut faults) = (Vec::with_capacity(values.len()), Vec::new());
    let mut noted = Rows::by("row");
    for (n, value) in values.into_iter().enumerate() {
        let found: Vec<_> = match pb::from_json::<pb::Prospect>("herald.v1.Prospect", value) {
            Ok(row) => {
                let found = prospect_faults(row.clone());
                if found.is_empty() {
                    noted.note(&row, n as u64 + 1);
                    rows.push(row);
                    continue;
                }
                found.into_iter().map(|v| format!("row {}: {}: {}", n + 1, v.field, v.description)).collect()
            }
            Err(error) => vec![format!("row {}: {error}", n + 1)],
        };
        if skip_broken { noted.note_broken(found) } else { faults.extend(found) }
    }
    if rows.is_empty() && skip_broken {
        return Err(import::refusal(&name, noted.faults, usize::try_from(noted.broken).unwrap_or(usize::MAX)));
    }
    if faults.is_empty() {
        return Ok((rows, noted));
    }
    let count = faults.len();
    faults.truncate(MOST_FAULTS);
    Err(import::refusal(&name, faults, count))
}

/// The rows in batches that the server takes.
pub(super) fn batches(rows: Vec<pb::Prospect>) -> impl Batches {
    let mut rows = VecDeque::from(rows);
    move || {
        let count = rows.len().min(BATCH_ROWS);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < count
            && let Some(row) = rows.front()
        {
            bytes += prost::Message::encoded_len(row);
            if bytes > BATCH_BYTES && !batch.is_empty() {
                break;
            }
            batch.extend(rows.pop_front());
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}
