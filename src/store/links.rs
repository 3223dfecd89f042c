//! The links by which readers of letters unsubscribe.
//!
//! A link is made in the write that marks its e-mail as being sent, so that none leads out of a letter before it leads somewhere. Its
//! token tells no tenant: the row of its id does, and a scope is minted once the tenant's key has verified the rest of it.
//!
//! Architecture invariant: a look at a link changes nothing. What following it has suppressed is known by the suppression's time
//! and source, so that nothing else is ever taken back.

use super::audit;
use super::door::{Scoped, Store};
use super::error::{Inconsistency, Result};
use super::master_key::MasterKey;
use super::sql::{Executor, row, system_sql, tenant_sql};
use super::suppressions;
use super::tenants;
use super::tx::ScopedTx;
use super::write::{Touched, Write};
use crate::domain::clock::Timestamp;
use crate::domain::email::Email;
use crate::domain::id::EmailId;
use crate::domain::language::Language;
use crate::domain::link::{HALF, Link, Standing, Token};
use crate::domain::suppression::{Suppression, SuppressionReason};
use crate::tenant::{Origin, Scope, TenantId};

tenant_sql! {
    GET =
        "SELECT email_id, address, language, sender, use_time, undos
         FROM unsubscribe_links
         WHERE tenant_id = $1 AND email_id = $2";
    BEFORE = "SELECT id, address FROM unsubscribe_links WHERE tenant_id = $1 AND email_id = $2";
    /// An e-mail that is tried again keeps its link.
    INSERT =
        "INSERT INTO unsubscribe_links (tenant_id, email_id, id, address, language, sender, create_time)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (tenant_id, email_id) DO NOTHING";
    SET_USE_TIME = "UPDATE unsubscribe_links SET use_time = $3, undos = $4 WHERE tenant_id = $1 AND email_id = $2";
}

system_sql! {
    /// Whose link that is: no more than ids.
    LINK_OWNER = "SELECT tenant_id, email_id FROM unsubscribe_links WHERE id = $1";
}

/// What following a link did, as the audit log has it.
const UNSUBSCRIBE: &str = "unsubscribe";
const UNDO: &str = "undo unsubscribe";

/// A link whose token was verified.
#[derive(Debug)]
pub struct Followed {
    scope: Scope,
    pub link: Link,
    pub standing: Standing,
}

/// Suppresses the address of a link, or takes that back.
struct Follow {
    email: EmailId,
    undo: bool,
}

row! {
    struct LinkRow {
        email_id: EmailId,
        address: String,
        language: Language,
        sender: String,
        use_time: Option<Timestamp>,
        undos: u32,
    }
}

impl Store {
    /// The link of that token; None if no key of ours has signed it for a letter.
    pub async fn link(&self, token: Token) -> Result<Option<Followed>> {
        let master_key = self.master_key.clone();
        let found = self.readers.at_once(move |executor| look(executor, &master_key, &token)).await?;
        Ok(found.map(|(tenant, link, standing)| Followed { scope: scope(tenant), link, standing }))
    }
}

/// What the rows say of a token that is verified.
fn look(executor: &dyn Executor, keys: &MasterKey, token: &Token) -> Result<Option<(TenantId, Link, Standing)>> {
    let owner: Option<(String, EmailId)> = LINK_OWNER.on(executor).bind(token.id.to_vec()).optional()?;
    let Some((tenant, email)) = owner else { return Ok(None) };
    let tenant = tenants::parse(&tenant)?;
    let (Some(key), Some(link)) =
        (tenants::link_key(executor, &tenant, keys)?, GET.on(executor, &tenant).bind(&email).optional::<LinkRow>()?)
    else {
        return Ok(None);
    };
    let link = Link::from(link);
    if !key.verifies(token, &link.email_id, &link.address) {
        return Ok(None);
    }
    let standing = link.standing(suppressions::find_on(executor, &tenant, &link.address)?.as_ref());
    Ok(Some((tenant, link, standing)))
}

#[expect(clippy::disallowed_methods, reason = "Origin::SignedLink: the tenant's own key has signed the link")]
fn scope(tenant: TenantId) -> Scope {
    Scope::mint(tenant, Origin::SignedLink)
}

/// The link of an e-mail that is about to be handed over.
pub(super) fn of_email(tx: &mut ScopedTx<'_>, email: &Email, language: Language) -> Result<Token> {
    let mut id = [0; HALF];
    tx.ids().random().fill(&mut id);
    let now = tx.now();
    let insert = tx.query(INSERT).bind(&email.id).bind(id.to_vec()).bind(email.to.address.as_str());
    let made = insert.bind(language.as_str()).bind(email.from.to_string()).bind(now).execute()?;
    let key = tx.link_key()?;
    if made > 0 {
        return Ok(key.sign(id, &email.id, &email.to.address));
    }
    let before: Option<(Vec<u8>, String)> = tx.query(BEFORE).bind(&email.id).optional()?;
    let before = before.and_then(|(id, address)| Some((id.try_into().ok()?, address)));
    let (id, address) = before.ok_or_else(|| Inconsistency::Link(email.id.to_string()))?;
    Ok(key.sign(id, &email.id, &address))
}

// === impl Followed ===

impl Followed {
    /// Suppresses its address, unless something else has; or takes back what it has suppressed. Gives how the address stands then;
    /// None if the link has gone with its tenant.
    pub async fn follow(&self, store: &Store, undo: bool) -> Result<Option<Standing>> {
        // Whoever asks again for what is done has nobody write.
        if self.standing != if undo { Standing::Unsubscribed } else { Standing::WrittenTo } {
            return Ok(Some(self.standing));
        }
        let write = Follow { email: self.link.email_id.clone(), undo };
        store.scope(&self.scope).follow(write).await
    }

    /// For the log.
    pub fn tenant(&self) -> &TenantId {
        self.scope.tenant()
    }
}

impl Scoped<'_> {
    async fn follow(&self, write: Follow) -> Result<Option<Standing>> {
        self.commit(write).await
    }
}

// === impl Follow ===

impl Write for Follow {
    type Out = Option<Standing>;

    fn run(&self, tx: &mut ScopedTx<'_>) -> Result<Option<Standing>> {
        let row: Option<LinkRow> = tx.query(GET).bind(&self.email).optional()?;
        let Some(link) = row.map(Link::from) else { return Ok(None) };
        let before = link.standing(suppressions::find(tx, &link.address)?.as_ref());
        let (use_time, undos, method, after) = match (before, self.undo) {
            (Standing::WrittenTo, false) => {
                let now = tx.now();
                suppressions::add(tx, &[suppression(&link, now)])?;
                (Some(now), link.undos, UNSUBSCRIBE, Standing::Unsubscribed)
            }
            (Standing::Unsubscribed, true) if link.may_undo() => {
                suppressions::take_back(tx, &suppression(&link, link.use_time.unwrap_or(Timestamp(0))))?;
                (None, link.undos + 1, UNDO, Standing::WrittenTo)
            }
            (standing, _) => return Ok(Some(standing)),
        };
        tx.query(SET_USE_TIME).bind(&self.email).bind(use_time).bind(undos).execute_exactly(1)?;
        audit::add_links(tx, method, &Touched::ids([&self.email]))?;
        Ok(Some(after))
    }
}

/// What the link makes.
fn suppression(link: &Link, time: Timestamp) -> Suppression {
    let (email, source) = (link.address.clone(), link.source());
    Suppression { email, reason: SuppressionReason::Unsubscribed, source, create_time: time }
}

impl From<LinkRow> for Link {
    fn from(row: LinkRow) -> Self {
        let LinkRow { email_id, address, language, sender, use_time, undos } = row;
        Self { email_id, address, language, sender, use_time, undos }
    }
}
