//! Mail into the tenant's outbox folder, as .eml files that any mail program opens.
//!
//! A file is named after its e-mail, `{id}.eml`, is written whole or not at all, and is never replaced: handing the same
//! e-mail over a second time makes a second file, `{id}.2.eml`, so that a mail sent twice is plain to see. The folder
//! knows what was delivered, so an interrupted delivery has a certain answer.

use std::sync::Arc;

use async_trait::async_trait;
use url::Url;

use super::message::{Extras, message_with};
use super::{ConnectError, Delivery, Mail};
use crate::crash;
use crate::domain::clock::Clock;
use crate::domain::email::Email;
use crate::files::{Files, FilesError, Folder, file_name};
use crate::tenant::Scope;

/// The outbox folders of all tenants.
pub struct Outbox {
    files: Arc<Files>,
    clock: Arc<dyn Clock>,
}

// === impl Outbox ===

impl Outbox {
    pub fn new(files: Arc<Files>, clock: Arc<dyn Clock>) -> Self {
        Self { files, clock }
    }
}

#[async_trait]
impl Mail for Outbox {
    async fn deliver(&self, scope: &Scope, email: &Email, link: Option<&Url>) -> Result<(), ConnectError> {
        let extras = Extras { unsubscribe_url: link.cloned(), ..Extras::default() };
        let bytes =
            message_with(email, self.clock.now(), &extras).map_err(|error| ConnectError::Final(error.to_string()))?;
        crash::point("outbox.before_file");
        let files = self.files.scope(scope);
        let mut attempt = 1;
        while !files.create(Folder::Outbox, &numbered(email.id.as_str(), attempt), bytes.clone()).await? {
            attempt += 1;
        }
        crash::point("outbox.after_file");
        Ok(())
    }

    async fn verify(&self, scope: &Scope, email: &Email) -> Result<Delivery, ConnectError> {
        let there = self.files.scope(scope).exists(Folder::Outbox, &numbered(email.id.as_str(), 1)).await?;
        Ok(if there { Delivery::Delivered } else { Delivery::NotDelivered })
    }
}

impl From<FilesError> for ConnectError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::DiskFull => Self::Passing("the disk is full".to_owned()),
            FilesError::Unavailable(why) => {
                // It may tell of paths and addresses that are no tenant's business.
                tracing::warn!(why, "files.unavailable");
                Self::Unclear("the outbox cannot be used now; the server's log says why".to_owned())
            }
        }
    }
}

fn numbered(id: &str, attempt: u32) -> String {
    if attempt == 1 { file_name(id, "eml") } else { file_name(id, &format!("{attempt}.eml")) }
}
