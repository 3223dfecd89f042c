//! Copies of what a tenant has, as JSON files: for people, for scripts, and for those who leave.
//!
//! The values are messages of the API in protobuf's JSON, without etags, which are for calls alone. Each file is replaced
//! whole; they are read page by page, so what changes meanwhile may be in one and not yet in another.

use prost::Message;
use tonic::Status;

use super::convert;
use crate::domain::id::CampaignId;
use crate::domain::paging::{PageRequest, RowCursor};
use crate::domain::prospect::ProspectFilter;
use crate::files::{FileWriter, Files, FilesError, Snapshot};
use crate::pb;
use crate::status::too_many_snapshots;
use crate::store::{Store, StoreError};
use crate::tenant::Scope;

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("they are being written, and others wait to write them again")]
    TooMany,
}

impl From<SnapshotError> for Status {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Store(error) => error.into(),
            SnapshotError::Files(error) => error.into(),
            SnapshotError::TooMany => too_many_snapshots(),
        }
    }
}

/// The rows of one read.
const PAGE: u32 = 100;

/// Writes the files; each with its size in bytes. While they are being written, one call waits, and any more is refused: what it
/// would write is what the waiting one does.
pub async fn write_snapshot(
    store: &Store,
    files: &Files,
    scope: &Scope,
) -> Result<Vec<(Snapshot, u64)>, SnapshotError> {
    let _held = files.scope(scope).lock_snapshot_soon().await.ok_or(SnapshotError::TooMany)?;
    write(store, files, scope).await
}

/// Writes the files at the end of a campaign, unless a reset has removed it since, and them with it.
pub async fn write_snapshot_of_end(
    store: &Store,
    files: &Files,
    scope: &Scope,
    ended: CampaignId,
) -> Result<(), SnapshotError> {
    // A reset removes the rows first, and the files when it holds this.
    let _held = files.scope(scope).lock_snapshot().await;
    if store.scope(scope).campaign(Some(&ended)).await?.is_some() {
        write(store, files, scope).await?;
    }
    Ok(())
}

async fn write(store: &Store, files: &Files, scope: &Scope) -> Result<Vec<(Snapshot, u64)>, SnapshotError> {
    let mut written = Vec::new();
    for file in Snapshot::ALL {
        let mut writer = files.scope(scope).writer(file).await?;
        let done = match file {
            Snapshot::Config => config(store, scope, &mut writer).await,
            Snapshot::CampaignConfig => campaign_config(store, scope, &mut writer).await,
            Snapshot::Prospects => prospects(store, scope, &mut writer).await,
            Snapshot::Emails => emails(store, scope, &mut writer).await,
        };
        match done {
            Ok(()) => written.push((file, writer.finish().await?)),
            Err(error) => {
                writer.abort().await;
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// The configuration; its password is not in the message.
async fn config(store: &Store, scope: &Scope, writer: &mut FileWriter) -> Result<(), SnapshotError> {
    let config = convert::config::out(store.scope(scope).agent_config().await?, scope.tenant());
    let config = pb::AgentConfig { etag: String::new(), ..config };
    Ok(writer.write(&json("AgentConfig", &config)).await?)
}

/// What the newest campaign was started with; `null` if there is none.
async fn campaign_config(store: &Store, scope: &Scope, writer: &mut FileWriter) -> Result<(), SnapshotError> {
    let campaign = store.scope(scope).campaign(None).await?;
    let settings = campaign.and_then(|campaign| convert::campaign::out(campaign, None).settings);
    let bytes = settings.map_or_else(|| b"null".to_vec(), |settings| json("CampaignSettings", &settings));
    Ok(writer.write(&bytes).await?)
}

/// All that are not deleted, newest first.
async fn prospects(store: &Store, scope: &Scope, writer: &mut FileWriter) -> Result<(), SnapshotError> {
    let mut array = Array::default();
    let mut request: PageRequest<RowCursor> = PageRequest { size: PAGE, after: None };
    loop {
        let page = store.scope(scope).prospects(&request, &ProspectFilter::default()).await?;
        for prospect in page.rows {
            let prospect = convert::prospect::out(prospect, scope.tenant());
            array.add("Prospect", &pb::Prospect { etag: String::new(), ..prospect });
        }
        writer.write(&array.take()).await?;
        match page.next {
            Some(after) => request.after = Some(after),
            None => return Ok(writer.write(&array.end()).await?),
        }
    }
}

/// All, in the order of their ids.
async fn emails(store: &Store, scope: &Scope, writer: &mut FileWriter) -> Result<(), SnapshotError> {
    let mut array = Array::default();
    let mut after = None;
    loop {
        let emails = store.scope(scope).emails_after(after.as_ref(), PAGE).await?;
        after = emails.last().map(|email| email.id.clone());
        for email in emails {
            array.add("Email", &convert::email::out(email));
        }
        writer.write(&array.take()).await?;
        if after.is_none() {
            return Ok(writer.write(&array.end()).await?);
        }
    }
}

fn json(name: &str, message: &impl Message) -> Vec<u8> {
    let value = pb::json(&format!("herald.v1.{name}"), message).unwrap_or_default();
    value.to_string().into_bytes()
}

/// A JSON array that is written piece by piece, an item a line.
#[derive(Default)]
struct Array {
    piece: Vec<u8>,
    begun: bool,
}

// === impl Array ===

impl Array {
    fn add(&mut self, name: &str, message: &impl Message) {
        self.piece.extend_from_slice(if self.begun { b",\n" } else { b"[\n" });
        self.begun = true;
        self.piece.extend_from_slice(&json(name, message));
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.piece)
    }

    fn end(&self) -> Vec<u8> {
        if self.begun { b"\n]\n".to_vec() } else { b"[]\n".to_vec() }
    }
}
