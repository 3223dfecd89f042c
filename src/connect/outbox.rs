//! Mail into the tenant's outbox folder, as .eml files that any mail program opens.
//!
//! A file is named after its e-mail, `{id}.eml`, is written whole or not at all, and is never replaced: handing the same
//! e-mail over a second time makes a second file, `{id}.2.eml`, so that a mail sent twice is plain to see. The folder
//! knows what was delivered, so an interrupted delivery has a certain answer.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use super::message::message;
use super::{ConnectError, Delivery, Mail};
use crate::crash;
use crate::domain::clock::Clock;
use crate::domain::email::Email;
use crate::files::{DataDir, file_name, is_there, write_new};
use crate::tenant::Scope;

/// The outbox folders of all tenants.
pub struct Outbox {
    data: Arc<DataDir>,
    clock: Arc<dyn Clock>,
}

// === impl Outbox ===

impl Outbox {
    pub fn new(data: Arc<DataDir>, clock: Arc<dyn Clock>) -> Self {
        Self { data, clock }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        scope: &Scope,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let (data, scope) = (self.data.clone(), scope.clone());
        let done = spawn_blocking(move || work(&data.outbox(&scope)?)).await;
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ConnectError::Passing("the disk is full".to_owned()),
            _ => ConnectError::Passing(format!("the outbox folder cannot be used: {error}")),
        };
        done.unwrap_or_else(|error| Err(std::io::Error::other(error))).map_err(failed)
    }
}

#[async_trait]
impl Mail for Outbox {
    async fn deliver(&self, scope: &Scope, email: &Email) -> Result<(), ConnectError> {
        let bytes = message(email, self.clock.now()).map_err(|error| ConnectError::Final(error.to_string()))?;
        let id = email.id.to_string();
        crash::point("outbox.before_file");
        self.blocking(scope, move |outbox| write_numbered(outbox, &id, &bytes)).await?;
        crash::point("outbox.after_file");
        Ok(())
    }

    async fn verify(&self, scope: &Scope, email: &Email) -> Result<Delivery, ConnectError> {
        let name = numbered(email.id.as_str(), 1);
        let there = self.blocking(scope, move |outbox| is_there(&outbox.join(name))).await?;
        Ok(if there { Delivery::Delivered } else { Delivery::NotDelivered })
    }
}

fn write_numbered(outbox: &Path, id: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut attempt = 1;
    loop {
        let path = outbox.join(numbered(id, attempt));
        match write_new(outbox, &path, bytes) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
            done => return done,
        }
    }
}

fn numbered(id: &str, attempt: u32) -> String {
    if attempt == 1 { file_name(id, "eml") } else { file_name(id, &format!("{attempt}.eml")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_delivery_makes_a_second_file() {
        let dir = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            write_numbered(dir.path(), "em_1", b"mail").expect("written");
        }
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).expect("a folder").map(|e| e.expect("a file").file_name()).collect();
        names.sort();
        assert_eq!(names, ["em_1.2.eml", "em_1.eml"]);
    }
}
