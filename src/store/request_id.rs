//! Request ids (AIP-155): the same request under the same id gives the same result and does nothing again.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Result, StoreError};
use super::sql::{Json, json, tenant_sql};
use super::tx::ScopedTx;

tenant_sql! {
    FIND =
        "SELECT request_hash, result
         FROM idempotency_keys
         WHERE tenant_id = $1 AND method = $2 AND request_id = $3 AND create_time >= $4";
    KEEP =
        "INSERT INTO idempotency_keys (tenant_id, method, request_id, request_hash, result, create_time)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (tenant_id, method, request_id) DO UPDATE
         SET request_hash = excluded.request_hash, result = excluded.result, create_time = excluded.create_time";
}

/// How long a request id is remembered.
pub(super) const KEPT_SECONDS: i64 = 24 * 60 * 60;

/// A request under a name of the caller's choosing.
#[derive(Debug, Clone)]
pub struct RequestId {
    pub method: &'static str,
    pub id: String,
    /// Of everything that the request asks for.
    pub hash: [u8; 32],
}

/// What the request gave when it was done before under this id; otherwise `run`, whose result is kept for a day.
pub(super) fn once<T: Serialize + DeserializeOwned>(
    tx: &mut ScopedTx<'_>,
    request_id: Option<&RequestId>,
    run: impl FnOnce(&mut ScopedTx<'_>) -> Result<T>,
) -> Result<T> {
    let Some(request_id) = request_id else { return run(tx) };
    if let Some(before) = request_id.find(tx)? {
        return Ok(before);
    }
    let result = run(tx)?;
    request_id.keep(tx, &result)?;
    Ok(result)
}

impl RequestId {
    /// What this request gave when it was done before.
    fn find<T: DeserializeOwned>(&self, tx: &mut ScopedTx<'_>) -> Result<Option<T>> {
        let since = tx.now().plus_seconds(-KEPT_SECONDS);
        let row: Option<(Vec<u8>, Json<T>)> =
            tx.query(FIND).bind(self.method).bind(self.id.as_str()).bind(since).optional()?;
        match row {
            Some((hash, _)) if hash != self.hash => Err(StoreError::RequestIdReused),
            row => Ok(row.map(|(_, Json(result))| result)),
        }
    }

    fn keep<T: Serialize>(&self, tx: &mut ScopedTx<'_>, result: &T) -> Result<()> {
        let now = tx.now();
        let keep = tx.query(KEEP).bind(self.method).bind(self.id.clone()).bind(self.hash.to_vec());
        keep.bind(json(result)).bind(now).execute_exactly(1)
    }
}
