//! `herald cache …`: the tenant's cache, through a running server.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{Api, Connection};
use super::output::{Json, counted, pretty, say_json};
use super::pages;
use super::refusal::{explain, reason};
use crate::pb;
use crate::rpc::json_value;
use crate::terminal::say;

#[derive(Args)]
pub(super) struct CacheArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a value, as JSON; a list's items as an array.
    Get {
        /// The key.
        key: String,
        #[command(flatten)]
        form: Json,
    },
    /// Set a value.
    Set {
        /// The key.
        key: String,
        /// The value, as JSON; a text that is no JSON is taken as that text.
        value: String,
        /// How long it lives; the server's default if left out.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
        ttl: Option<i64>,
    },
    /// Print the keys, one a line.
    Keys {
        /// Only those that begin with this.
        #[arg(long, default_value = "")]
        prefix: String,
        #[command(flatten)]
        form: Json,
    },
    /// Delete everything that the tenant has in its cache.
    Clear {
        /// Really.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        form: Json,
    },
}

/// 2^53: the values of the API are JSON, whose numbers are doubles.
const EXACT: u64 = 1 << 53;

pub(super) fn cache(args: CacheArgs) -> anyhow::Result<ExitCode> {
    args.connection.run(async |mut api| match args.command {
        Command::Get { key, form } => get(&mut api, key, form).await,
        Command::Set { key, value, ttl } => set(&mut api, key, value, ttl).await,
        Command::Keys { prefix, form } => {
            let keys = keys(&mut api, prefix).await?;
            if form.json {
                return say_json(&keys);
            }
            keys.keys.iter().for_each(|key| say!("{}", key.escape_debug()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Clear { yes, form } => clear(&mut api, yes, form).await,
    })
}

async fn get(api: &mut Api, key: String, form: Json) -> anyhow::Result<ExitCode> {
    let request = pb::GetCacheEntryRequest { key: key.clone() };
    let value = match api.cache.get_cache_entry(request).await {
        Ok(answer) if form.json => return say_json(&answer.into_inner()),
        Ok(answer) => {
            let entry = answer.into_inner().entry.unwrap_or_default();
            match entry.counter {
                // Exact, where a double is not.
                Some(number) => number.into(),
                None => json_value(entry.value.unwrap_or_default()).map_err(anyhow::Error::msg)?,
            }
        }
        Err(status) if reason(&status) == "CACHE_KIND" => {
            let list = list(api, key).await?;
            if form.json {
                return say_json(&list);
            }
            let items = list.items.into_iter().map(json_value).collect::<Result<Vec<Value>, _>>();
            items.map_err(anyhow::Error::msg)?.into()
        }
        Err(status) => return Err(explain(&status)),
    };
    say!("{}", pretty(&value)?);
    Ok(ExitCode::SUCCESS)
}

/// A list with all of its items.
async fn list(api: &mut Api, key: String) -> anyhow::Result<pb::GetCacheListResponse> {
    let page = async |_, page_token| {
        let request = pb::GetCacheListRequest { key: key.clone(), page_size: 0, page_token };
        let page = api.cache.get_cache_list(request).await.map_err(|status| explain(&status))?.into_inner();
        Ok((page.items, page.next_page_token))
    };
    let (items, next_page_token) = pages::rows(0, usize::MAX, page).await?;
    Ok(pb::GetCacheListResponse { items, next_page_token })
}

async fn set(api: &mut Api, key: String, value: String, ttl: Option<i64>) -> anyhow::Result<ExitCode> {
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    if value.as_i64().is_some_and(|number| number.unsigned_abs() > EXACT) {
        anyhow::bail!("{value} is a number that a double does not hold exactly: quote it, or count with a counter");
    }
    let entry = serde_json::json!({ "value": value });
    let entry: pb::CacheEntry = pb::from_json("herald.v1.CacheEntry", entry).map_err(anyhow::Error::msg)?;
    let ttl = ttl.map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    let request = pb::SetCacheEntryRequest { key, value: Some(entry.value.unwrap_or_default()), ttl };
    api.cache.set_cache_entry(request).await.map_err(|status| explain(&status))?;
    Ok(ExitCode::SUCCESS)
}

/// All keys with that prefix.
async fn keys(api: &mut Api, prefix: String) -> anyhow::Result<pb::ListCacheKeysResponse> {
    let page = async |page_size, page_token| {
        let request = pb::ListCacheKeysRequest { prefix: prefix.clone(), page_size, page_token };
        let page = api.cache.list_cache_keys(request).await.map_err(|status| explain(&status))?.into_inner();
        Ok((page.keys, page.next_page_token))
    };
    let (keys, next_page_token) = pages::rows(0, 10_000, page).await?;
    Ok(pb::ListCacheKeysResponse { keys, next_page_token })
}

async fn clear(api: &mut Api, yes: bool, form: Json) -> anyhow::Result<ExitCode> {
    if !yes {
        let count = keys(api, String::new()).await?.keys.len();
        anyhow::bail!("this would delete {}; add --yes to do it", counted(count as u64, "key"));
    }
    let answer = api.cache.delete_all_cache_entries(pb::DeleteAllCacheEntriesRequest {}).await;
    let answer = answer.map_err(|status| explain(&status)).context("nothing or not all was deleted")?.into_inner();
    if form.json {
        return say_json(&answer);
    }
    say!("{} deleted", counted(u64::try_from(answer.deleted_count).unwrap_or(0), "key"));
    Ok(ExitCode::SUCCESS)
}
