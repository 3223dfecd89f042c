//! CacheService: the tenant's cache.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use prost_types::Value;
use tonic::{Request, Response, Status};

use super::answers::{Answers, made};
use super::{caller, convert};
use crate::cache::{CacheError, MAX_KEY, MAX_LIST, Stored, TenantCache};
use crate::domain::error::{Error, Violations};
use crate::domain::number::{saturating_i32, saturating_i64};
use crate::domain::paging::QueryShape;
use crate::heavy::{HEAVY, heavy};
use crate::pb;
use crate::pb::cache_service_server::CacheService;
use crate::status::{answer_too_large, no_such_key};
use crate::tenant::Caller;

/// The most keys of a batch.
const MAX_BATCH: usize = 500;
/// The longest time that a value may live.
const MAX_TTL: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The size of a page where none is asked for, and the largest.
const PAGE: (u32, u32) = (1_000, 10_000);

/// CacheService.
pub struct Cache {
    cache: Arc<TenantCache>,
    answers: Answers,
}

impl Cache {
    pub fn new(cache: Arc<TenantCache>, answers: Answers) -> Self {
        Self { cache, answers }
    }

    /// The answer that `make` makes of values of `size` bytes, if it is no larger than one may be: small numbers take more in
    /// protobuf than as JSON.
    async fn answer<M: Message>(
        &self,
        caller: &Caller,
        size: usize,
        make: impl FnOnce() -> M,
    ) -> Result<Response<M>, Status> {
        let place = if size > HEAVY { Some(self.answers.large(caller.tenant()).await) } else { None };
        let (answer, size) = heavy(size, || {
            let answer = make();
            let size = answer.encoded_len();
            (answer, size)
        });
        if size > self.answers.max { Err(answer_too_large()) } else { Ok(made(answer, size, place)) }
    }
}

#[tonic::async_trait]
impl CacheService for Cache {
    async fn set_cache_entry(
        &self,
        request: Request<pb::SetCacheEntryRequest>,
    ) -> Result<Response<pb::SetCacheEntryResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let mut v = Violations::default();
        let value = v.take("value", value_in(request.value));
        let ttl = ttl(&mut v, request.ttl);
        v.done()?;
        let pair = value.map(|value| (request.key, value));
        self.cache.scope(caller.scope()).put(pair.into_iter().collect(), ttl).await?;
        Ok(Response::new(pb::SetCacheEntryResponse {}))
    }

    async fn get_cache_entry(
        &self,
        request: Request<pb::GetCacheEntryRequest>,
    ) -> Result<Response<pb::GetCacheEntryResponse>, Status> {
        let caller = caller(&request)?;
        let key = request.into_inner().key;
        let cache = self.cache.scope(caller.scope());
        let _place = self.answers.cache_read(caller.tenant()).await;
        let Some(value) = cache.read(&[&key], self.answers.max).await?.pop().flatten() else {
            return Err(if cache.exists(&key).await? { CacheError::Kind.into() } else { no_such_key() });
        };
        let size = value.size();
        let make = || pb::GetCacheEntryResponse { entry: Some(entry(key, Some(value))) };
        self.answer(&caller, size, make).await
    }

    async fn delete_cache_entry(
        &self,
        request: Request<pb::DeleteCacheEntryRequest>,
    ) -> Result<Response<pb::DeleteCacheEntryResponse>, Status> {
        let caller = caller(&request)?;
        let deleted = self.cache.scope(caller.scope()).delete(&request.get_ref().key).await?;
        Ok(Response::new(pb::DeleteCacheEntryResponse { deleted }))
    }

    async fn delete_all_cache_entries(
        &self,
        request: Request<pb::DeleteAllCacheEntriesRequest>,
    ) -> Result<Response<pb::DeleteAllCacheEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let deleted = self.cache.scope(caller.scope()).delete_all().await?;
        let deleted_count = saturating_i64(deleted);
        Ok(Response::new(pb::DeleteAllCacheEntriesResponse { deleted_count }))
    }

    async fn cache_entry_exists(
        &self,
        request: Request<pb::CacheEntryExistsRequest>,
    ) -> Result<Response<pb::CacheEntryExistsResponse>, Status> {
        let caller = caller(&request)?;
        let exists = self.cache.scope(caller.scope()).exists(&request.get_ref().key).await?;
        Ok(Response::new(pb::CacheEntryExistsResponse { exists }))
    }

    async fn increment_cache_counter(
        &self,
        request: Request<pb::IncrementCacheCounterRequest>,
    ) -> Result<Response<pb::IncrementCacheCounterResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let value = self.cache.scope(caller.scope()).increment(&request.key, request.delta.unwrap_or(1)).await?;
        Ok(Response::new(pb::IncrementCacheCounterResponse { value }))
    }

    async fn push_cache_list(
        &self,
        request: Request<pb::PushCacheListRequest>,
    ) -> Result<Response<pb::PushCacheListResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let value = value_in(request.value).map_err(|error| Error::field("value", error))?;
        let length = self.cache.scope(caller.scope()).append(&request.key, value).await?;
        Ok(Response::new(pb::PushCacheListResponse { length: saturating_i32(length) }))
    }

    async fn get_cache_list(
        &self,
        request: Request<pb::GetCacheListRequest>,
    ) -> Result<Response<pb::GetCacheListResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let shape = QueryShape::new(caller.tenant().as_str(), "cache_list", &[&request.key]);
        let page = convert::page_request::<usize>(request.page_size, &request.page_token, &shape, PAGE.0, PAGE.1)?;
        let (from, size) = (page.after.unwrap_or(0), page.size as usize);
        let _place = self.answers.cache_read(caller.tenant()).await;
        let page = self.cache.scope(caller.scope()).items(&request.key, from, size, self.answers.max).await?;
        let size = page.rows.iter().map(Stored::size).sum();
        let make = || pb::GetCacheListResponse {
            items: page.rows.into_iter().map(|item| convert::json::value_out(item.value())).collect(),
            next_page_token: page.next.map(|next| shape.token(&next)).unwrap_or_default(),
        };
        self.answer(&caller, size, make).await
    }

    async fn batch_set_cache_entries(
        &self,
        request: Request<pb::BatchSetCacheEntriesRequest>,
    ) -> Result<Response<pb::BatchSetCacheEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let count = request.entries.len();
        if count == 0 || count > MAX_BATCH {
            return Err(Error::field("entries", format!("must be 1 to {MAX_BATCH}; there are {count}")).into());
        }
        let mut v = Violations::default();
        let ttl = ttl(&mut v, request.ttl);
        let mut seen = HashSet::new();
        for (i, entry) in request.entries.iter().enumerate() {
            check_key(&mut v, &format!("entries[{i}].key"), &entry.key);
            if !seen.insert(entry.key.as_str()) {
                v.add(format!("entries[{i}].key"), "is there twice");
            }
        }
        let size = convert::json::size_in(request.entries.iter().filter_map(|entry| entry.value.as_ref()));
        let mut pairs = Vec::with_capacity(count);
        heavy(size, || {
            for (i, entry) in request.entries.into_iter().enumerate() {
                let value = v.take(&format!("entries[{i}].value"), stored(entry.value));
                pairs.extend(value.map(|value| (entry.key, value)));
            }
        });
        v.done()?;
        self.cache.scope(caller.scope()).put(pairs, ttl).await?;
        Ok(Response::new(pb::BatchSetCacheEntriesResponse {}))
    }

    async fn batch_get_cache_entries(
        &self,
        request: Request<pb::BatchGetCacheEntriesRequest>,
    ) -> Result<Response<pb::BatchGetCacheEntriesResponse>, Status> {
        let caller = caller(&request)?;
        let keys = request.into_inner().keys;
        if keys.is_empty() || keys.len() > MAX_BATCH {
            return Err(Error::field("keys", format!("must be 1 to {MAX_BATCH}; there are {}", keys.len())).into());
        }
        let (mut v, mut seen) = (Violations::default(), HashSet::new());
        for (i, key) in keys.iter().enumerate() {
            check_key(&mut v, &format!("keys[{i}]"), key);
            if !seen.insert(key.as_str()) {
                v.add(format!("keys[{i}]"), "is there twice");
            }
        }
        v.done()?;
        let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
        let _place = self.answers.cache_read(caller.tenant()).await;
        let found = self.cache.scope(caller.scope()).read(&asked, self.answers.max).await?;
        let size = found.iter().flatten().map(Stored::size).sum();
        let make = || {
            let entries = keys.into_iter().zip(found).map(|(key, value)| entry(key, value)).collect();
            pb::BatchGetCacheEntriesResponse { entries }
        };
        self.answer(&caller, size, make).await
    }

    async fn list_cache_keys(
        &self,
        request: Request<pb::ListCacheKeysRequest>,
    ) -> Result<Response<pb::ListCacheKeysResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        if request.prefix.len() > MAX_KEY {
            return Err(Error::field("prefix", format!("must have at most {MAX_KEY} bytes")).into());
        }
        let shape = QueryShape::new(caller.tenant().as_str(), "cache_keys", &[&request.prefix]);
        let page = convert::page_request::<String>(request.page_size, &request.page_token, &shape, PAGE.0, PAGE.1)?;
        let page = self.cache.scope(caller.scope()).keys_page(&request.prefix, &page).await?;
        let (keys, next_page_token) = (page.rows, page.next.map(|next| shape.token(&next)).unwrap_or_default());
        Ok(Response::new(pb::ListCacheKeysResponse { keys, next_page_token }))
    }
}

fn entry(key: String, value: Option<Stored>) -> pb::CacheEntry {
    let value = value.map(|value| value.value());
    let counter = value.as_ref().and_then(serde_json::Value::as_i64);
    pb::CacheEntry { key, value: value.map(convert::json::value_out), counter }
}

fn value_in(value: Option<Value>) -> Result<Stored, String> {
    heavy(convert::json::size_in(&value), || stored(value))
}

/// The value as it is kept, or what is wrong with it.
fn stored(value: Option<Value>) -> Result<Stored, String> {
    let value = value.ok_or("is required; JSON's null is a value")?;
    Stored::new(&convert::json::value_in(value)?).map_err(|error| error.to_string())
}

fn check_key(v: &mut Violations, field: &str, key: &str) {
    if key.is_empty() || key.len() > MAX_KEY {
        v.add(field, CacheError::Key.to_string());
    }
}

/// None if it is absent.
fn ttl(v: &mut Violations, ttl: Option<prost_types::Duration>) -> Option<Duration> {
    let ttl = ttl.map(|ttl| {
        let ttl = Duration::try_from(ttl).ok();
        ttl.filter(|ttl| (Duration::from_millis(1)..=MAX_TTL).contains(ttl))
            .ok_or("must be at least a millisecond and at most 365 days")
    });
    v.take("ttl", ttl.transpose()).flatten()
}

// A list has no more items than a page may.
const _: () = assert!(MAX_LIST <= PAGE.1 as usize);
