//! The connections of all mailboxes: one of each at a time, kept for a while for the next letter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::account::{Account, SignIn};
use super::talk::{Lease, Letter, Means, Talk};
use super::token::Tokens;
use super::wire::Deadlines;
use crate::budget::TALKS_KEPT;
use crate::config::Secret;
use crate::connect::guard::Guard;
use crate::domain::delivery::{Fate, Stage, Transcript};

/// What holds for all mailboxes.
#[derive(Debug, Clone)]
pub struct Settings {
    pub guard: Guard,
    /// A file of authorities that are trusted besides Mozilla's, such as a relay's inside.
    pub authorities: Option<PathBuf>,
    pub deadlines: Deadlines,
    /// How long a token server may take.
    pub token_time: Duration,
    /// How many letters go over one connection.
    pub letters_per_connection: u32,
    /// How long a connection is kept for the next letter.
    pub idle: Duration,
}

/// What became of a letter.
#[derive(Debug)]
pub struct Delivered {
    pub fate: Fate,
    pub transcript: Transcript,
    /// In the place of the mailbox's own, where the token server has given another: to be stored.
    pub refresh_token: Option<Secret>,
}

/// Why no mail can be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{0} cannot be read as certificates: {1}")]
    Authorities(PathBuf, pem::Error),
    #[error("{0} has a certificate of no authority: {1}")]
    Authority(PathBuf, rustls::Error),
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no HTTP client can be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// The connections of all mailboxes.
pub struct Connections {
    means: Means,
    letters: u32,
    idle: Duration,
    slots: Mutex<HashMap<String, Slot>>,
    /// For connections that are kept.
    room: Arc<Semaphore>,
}

/// A mailbox's place, which whoever sends from it holds.
type Slot = Arc<AsyncMutex<Option<Kept>>>;

/// A connection that waits for the next letter.
struct Kept {
    talk: Talk,
    /// Closes it after a while.
    closing: AbortHandle,
    _room: OwnedSemaphorePermit,
}

/// Past so many places those that nobody uses are dropped.
const MAX_SLOTS: usize = 1_024;

impl Default for Settings {
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            authorities: None,
            deadlines: Deadlines::default(),
            token_time: Duration::from_secs(30),
            letters_per_connection: 50,
            idle: Duration::from_secs(30),
        }
    }
}

// === impl Connections ===

impl Connections {
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let tls = Arc::new(tls(settings.authorities.as_deref())?);
        let tokens = Tokens::new(settings.guard.clone(), settings.token_time)?;
        Ok(Self {
            means: Means { guard: settings.guard, deadlines: settings.deadlines, tls, tokens },
            letters: settings.letters_per_connection,
            idle: settings.idle,
            slots: Mutex::default(),
            room: Arc::new(Semaphore::new(TALKS_KEPT)),
        })
    }

    /// Sends a letter from the mailbox, once whoever sends from it has done. `mailbox` is its name among all tenants' mailboxes.
    pub async fn deliver(&self, mailbox: &str, account: &Account, letter: &Letter<'_>, lease: &dyn Lease) -> Delivered {
        let slot = self.slot(mailbox);
        let mut kept = slot.lock().await;
        let mut transcript = Transcript::default();
        let sent = self.send(kept.take(), mailbox, account, letter, lease, &mut transcript).await;
        let fate = match sent {
            Ok((talk, fate)) => {
                *kept = self.keep(&slot, talk);
                fate
            }
            Err(fate) => fate,
        };
        let refresh_token = match &account.sign_in {
            SignIn::OAuth { oauth, .. } => self.means.tokens.newer_refresh_token(mailbox, oauth).await,
            _ => None,
        };
        Delivered { fate, transcript, refresh_token }
    }

    /// Connects and signs in, sends nothing, and tells what the server said at each stage: how a mailbox is tried.
    pub async fn test(&self, mailbox: &str, account: &Account) -> (Result<(), Fate>, Transcript) {
        let slot = self.slot(mailbox);
        // One connection at a time: whoever sends has done first, and what was kept goes.
        let mut kept = slot.lock().await;
        if let Some(Kept { talk, closing, .. }) = kept.take() {
            closing.abort();
            talk.quit().await;
        }
        let mut transcript = Transcript::default();
        let opened = Talk::open(&self.means, mailbox, account, &mut transcript).await;
        (opened.map(part), transcript)
    }

    /// Takes leave of every server, for the end of the process.
    pub async fn close(&self) {
        let slots: Vec<Slot> = self.slots().drain().map(|(_, slot)| slot).collect();
        let goodbyes = slots.into_iter().map(async |slot| {
            if let Ok(mut kept) = slot.try_lock()
                && let Some(Kept { talk, closing, .. }) = kept.take()
            {
                closing.abort();
                talk.quit().await;
            }
        });
        futures_util::future::join_all(goodbyes).await;
    }

    /// Sends the letter over the connection that is there, or a new one. Where the server has hung up meanwhile, which the first
    /// command shows, there is a new one too: nothing of this letter was sent.
    async fn send(
        &self,
        kept: Option<Kept>,
        mailbox: &str,
        account: &Account,
        letter: &Letter<'_>,
        lease: &dyn Lease,
        notes: &mut Transcript,
    ) -> Result<(Talk, Fate), Fate> {
        let kept = kept.map(|kept| {
            kept.closing.abort();
            kept.talk
        });
        let open = async |notes: &mut Transcript| Talk::open(&self.means, mailbox, account, notes).await;
        let (mut talk, is_old) = match kept {
            Some(talk) if talk.account.is_of(account) => (talk, true),
            other => {
                if let Some(other) = other {
                    part(other);
                }
                (open(notes).await?, false)
            }
        };
        let mut fate = talk.send(letter, lease, notes).await;
        let reached = notes.lines.last().map(|line| line.stage);
        if is_old && talk.is_lost() && reached == Some(Stage::Sender) {
            talk = open(notes).await?;
            fate = talk.send(letter, lease, notes).await;
        }
        Ok((talk, fate))
    }

    /// Keeps the connection for the next letter, if there may be one over it.
    fn keep(&self, slot: &Slot, talk: Talk) -> Option<Kept> {
        let room = (!talk.is_lost() && talk.letters < self.letters).then(|| self.room.clone().try_acquire_owned());
        let Some(Ok(_room)) = room else {
            part(talk);
            return None;
        };
        let (slot, idle) = (Arc::downgrade(slot), self.idle);
        let closing = tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            let Some(slot) = slot.upgrade() else { return };
            let kept = slot.lock().await.take();
            if let Some(Kept { talk, .. }) = kept {
                talk.quit().await;
            }
        });
        Some(Kept { talk, closing: closing.abort_handle(), _room })
    }

    fn slot(&self, mailbox: &str) -> Slot {
        let mut slots = self.slots();
        if slots.len() >= MAX_SLOTS {
            let is_used = |slot: &Slot| Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|kept| kept.is_some());
            slots.retain(|_, slot| is_used(slot));
        }
        slots.entry(mailbox.to_owned()).or_default().clone()
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes leave, while nobody waits.
fn part(talk: Talk) {
    tokio::spawn(talk.quit());
}

/// Trusts Mozilla's authorities, and those of the file.
fn tls(authorities: Option<&Path>) -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authorities {
        let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let found = found.and_then(|found| if found.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(found) });
        for certificate in found.map_err(|error| SetupError::Authorities(path.to_owned(), error))? {
            roots.add(certificate).map_err(|error| SetupError::Authority(path.to_owned(), error))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
