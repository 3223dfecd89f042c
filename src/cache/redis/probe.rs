//! Looks whether Redis is there and takes what Herald asks of it, without changing anything: each command is sent for keys that
//! are not there, and in the form that makes none. INCRBY and RPUSH have no such form.

use std::time::Duration;

use fred::error::Error;
use fred::interfaces::{
    ClientLike as _, EventInterface as _, KeysInterface as _, ListInterface as _, LuaInterface as _,
    SortedSetsInterface as _,
};
use fred::types::{ExpireOptions, SetOptions, Value};

use super::super::names::{INDEX, PREFIX};
use super::{ITEMS, Redis, plainly, reply_code};

/// How long the connection may take, and then each command: a fault is to be told by its cause, not by the time it takes.
const WAIT: Duration = Duration::from_secs(5);
/// So many keys, so that each server of a small cluster has one.
const KEYS: usize = 8;
/// Of no tenant: its id begins with a dot.
const NOBODY: &str = ".herald-check";

impl Redis {
    /// Waits until Redis is there; why it is not, as soon as that is known.
    pub(in crate::cache) async fn reach(&self) -> Result<(), String> {
        let mut first_error = self.client.error_rx();
        let connected = tokio::select! {
            connected = tokio::time::timeout(WAIT, self.client.wait_for_connect()) => connected,
            Ok((error, _)) = first_error.recv() => return Err(self.told(&error)),
        };
        match connected {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.told(&error)),
            Err(_) => Err(self.unnamed_node().unwrap_or("the cache cannot be reached: no answer in time").to_owned()),
        }
    }

    /// Why not, as the first command tells that is refused.
    pub(in crate::cache) async fn probe(&self) -> Result<(), String> {
        self.reach().await?;
        for n in 0..KEYS {
            let (key, index) = (format!("{PREFIX}{NOBODY}:{n}"), format!("{INDEX}{NOBODY}:{n}"));
            match tokio::time::timeout(WAIT, self.ask_all(&key, &index)).await {
                Ok(Ok(())) => {}
                Ok(Err((command, error))) => return Err(format!("{command} is refused: {}", self.told(&error))),
                Err(_) => return Err("the cache cannot be reached: no answer in time".to_owned()),
            }
        }
        Ok(())
    }

    async fn ask_all(&self, key: &str, index: &str) -> Result<(), (&'static str, Error)> {
        let of = |command: &'static str| move |error: Error| (command, error);
        let client = &self.client;
        client.exists::<Value, _>(key).await.map_err(of("EXISTS"))?;
        client.strlen::<Value, _>(key).await.map_err(of("STRLEN"))?;
        client.getrange::<Value, _>(key, 0, 1).await.map_err(of("GETRANGE"))?;
        client.llen::<Value, _>(key).await.map_err(of("LLEN"))?;
        let args = vec![0, 1, 1, 1];
        client.eval::<Value, _, _, _>(ITEMS, key.to_owned(), args).await.map_err(of("EVAL"))?;
        client.zrangebylex::<Value, _, _, _>(index, "-", "+", None).await.map_err(of("ZRANGEBYLEX"))?;
        client.set::<Value, _, _>(key, "", None, Some(SetOptions::XX), false).await.map_err(of("SET"))?;
        client
            .zadd::<Value, _, _>(index, Some(SetOptions::XX), None, false, false, (0.0, "x"))
            .await
            .map_err(of("ZADD"))?;
        client.zrem::<Value, _, _>(index, "x").await.map_err(of("ZREM"))?;
        client.expire::<Value, _>(key, 1, Some(ExpireOptions::NX)).await.map_err(of("EXPIRE"))?;
        client.ltrim::<Value, _>(key, 0, -1).await.map_err(of("LTRIM"))?;
        client.unlink::<Value, _>(key).await.map_err(of("UNLINK"))?;
        Ok(())
    }

    /// What an error tells. Redis' own words are for whoever runs this; the client's name no password.
    fn told(&self, error: &Error) -> String {
        if reply_code(error).is_some() {
            return error.details().to_owned();
        }
        match self.unnamed_node() {
            Some(why) => why.to_owned(),
            None => format!("the cache cannot be reached: {}", plainly(error)),
        }
    }
}
