//! Each tenant's row, with its own key under the master key (envelope encryption).

use super::error::{Inconsistency, Result, StoreError};
use super::master_key::{DataKey, LinkKey, MasterKey};
use super::sql::{Executor, system_sql};
use crate::domain::clock::Random;
use crate::domain::id::Ids;
use crate::tenant::TenantId;

system_sql! {
    TENANT_EXISTS = "SELECT 1 FROM tenants WHERE id = $1";
    TENANT_INSERT =
        "INSERT INTO tenants (id, data_key, create_time)
         VALUES ($1, $2, $3)";
    TENANT_DATA_KEY = "SELECT data_key FROM tenants WHERE id = $1";
    ANY_DATA_KEY = "SELECT id, data_key FROM tenants LIMIT 1";
    ALL_DATA_KEYS = "SELECT id, data_key FROM tenants ORDER BY id";
    REPLACE_DATA_KEY = "UPDATE tenants SET data_key = $2 WHERE id = $1";
    ALL_TENANTS = "SELECT id FROM tenants ORDER BY id";
    TENANT_LINK_KEY = "SELECT link_key FROM tenants WHERE id = $1";
    SET_LINK_KEY = "UPDATE tenants SET link_key = $2 WHERE id = $1";
}

/// What is sealed when a tenant's row is made.
const DATA_KEY: &str = "a data key";
const LINK_KEY: &str = "the key of a tenant's links";

/// The tenant of that id, as the database has it.
pub(super) fn parse(id: &str) -> Result<TenantId> {
    TenantId::parse(id).map_err(|_| Inconsistency::TenantId(id.to_owned()).into())
}

/// Every tenant; what somebody else has put there under an invalid id is `herald check`'s to tell.
pub(super) fn all(executor: &dyn Executor) -> Result<Vec<TenantId>> {
    let rows: Vec<(String,)> = ALL_TENANTS.on(executor).all()?;
    Ok(rows.into_iter().filter_map(|(id,)| TenantId::parse(&id).ok()).collect())
}

/// Makes the tenant's row, with a data key of its own, if it is not there.
pub(super) fn ensure(executor: &dyn Executor, tenant: &TenantId, master_key: &MasterKey, ids: &Ids) -> Result<()> {
    let there: Option<(i64,)> = TENANT_EXISTS.on(executor).bind(tenant.as_str()).optional()?;
    if there.is_some() {
        return Ok(());
    }
    let sealed = master_key.new_data_key(tenant, ids.random());
    let sealed = sealed.ok_or(Inconsistency::NotSealed(DATA_KEY))?;
    TENANT_INSERT.on(executor).bind(tenant.as_str()).bind(sealed).bind(ids.now()).execute_exactly(1)
}

/// The tenant's own key, unwrapped.
pub(super) fn data_key(executor: &dyn Executor, tenant: &TenantId, master_key: &MasterKey) -> Result<DataKey> {
    let row: Option<(Vec<u8>,)> = TENANT_DATA_KEY.on(executor).bind(tenant.as_str()).optional()?;
    let key = row.and_then(|(wrapped,)| master_key.unwrap_data_key(tenant, &wrapped));
    key.ok_or_else(|| Inconsistency::DataKey(tenant.clone()).into())
}

/// What signs the tenant's links; None if it has not been needed yet. A new master key leaves it as it is.
pub(super) fn link_key(executor: &dyn Executor, tenant: &TenantId, master_key: &MasterKey) -> Result<Option<LinkKey>> {
    let row: Option<(Option<Vec<u8>>,)> = TENANT_LINK_KEY.on(executor).bind(tenant.as_str()).optional()?;
    let Some(sealed) = row.and_then(|(sealed,)| sealed) else { return Ok(None) };
    let opened = data_key(executor, tenant, master_key)?.open_link_key(&sealed);
    opened.map(Some).ok_or_else(|| Inconsistency::NotSealed(LINK_KEY).into())
}

/// The same; it is made if it is not there.
pub(super) fn ensure_link_key(
    executor: &dyn Executor,
    tenant: &TenantId,
    master_key: &MasterKey,
    ids: &Ids,
) -> Result<LinkKey> {
    if let Some(key) = link_key(executor, tenant, master_key)? {
        return Ok(key);
    }
    let made = data_key(executor, tenant, master_key)?.new_link_key(ids.random());
    let (key, sealed) = made.ok_or(Inconsistency::NotSealed(LINK_KEY))?;
    SET_LINK_KEY.on(executor).bind(tenant.as_str()).bind(sealed).execute_exactly(1)?;
    Ok(key)
}

/// Wraps every tenant's data key anew: under `new` instead of under `old`. How many that were; None, and nothing is done, if they are
/// under `new` already. To be run in a transaction.
pub(super) fn rewrap(
    executor: &dyn Executor,
    old: &MasterKey,
    new: &MasterKey,
    random: &dyn Random,
) -> Result<Option<usize>> {
    let rows: Vec<(String, Vec<u8>)> = ALL_DATA_KEYS.on(executor).all()?;
    let mut keys = Vec::with_capacity(rows.len());
    for (id, wrapped) in &rows {
        let tenant = parse(id)?;
        keys.push((old.unwrap_data_key(&tenant, wrapped), new.unwrap_data_key(&tenant, wrapped), tenant));
    }
    if !keys.is_empty() && keys.iter().all(|(_, under_new, _)| under_new.is_some()) {
        return Ok(None);
    }
    for (under_old, _, tenant) in &keys {
        let key = under_old.as_ref().ok_or_else(|| StoreError::WrongMasterKey(tenant.clone()))?;
        let wrapped = new.wrap(key, tenant, random);
        let wrapped = wrapped.ok_or(Inconsistency::NotSealed(DATA_KEY))?;
        let replace = REPLACE_DATA_KEY.on(executor).bind(tenant.as_str());
        replace.bind(wrapped).execute_exactly(1)?;
    }
    Ok(Some(keys.len()))
}

/// Whether the master key opens the data keys that are there; true if there are none.
pub(super) fn opens(master_key: &MasterKey, executor: &dyn Executor) -> Result<bool> {
    let row: Option<(String, Vec<u8>)> = ANY_DATA_KEY.on(executor).optional()?;
    let Some((id, wrapped)) = row else { return Ok(true) };
    Ok(TenantId::parse(&id).is_ok_and(|id| master_key.unwrap_data_key(&id, &wrapped).is_some()))
}
