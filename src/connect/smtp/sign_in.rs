//! Signs in at a mail server (RFC 4954), by what both sides know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::account::{OAuth, SignIn};
use super::token::{Token, TokenError, Tokens};
use super::wire::{Offers, Wire, millis};
use crate::config::Secret;
use crate::domain::delivery::{Answer, Fate, Stage, Transcript};

/// Signs the mailbox in.
pub(super) async fn sign_in(
    wire: &mut Wire,
    offers: &Offers,
    sign_in: &SignIn,
    (tokens, mailbox): (&Tokens, &str),
    notes: &mut Transcript,
) -> Result<(), Fate> {
    match sign_in {
        SignIn::None => Ok(()),
        SignIn::Password { username, secret } => by_password(wire, offers, username, secret, notes).await,
        SignIn::OAuth { username, oauth } => {
            if !offers.sign_ins.iter().any(|name| name == "XOAUTH2") {
                return Err(no_way(offers, "XOAUTH2", notes));
            }
            let token = token(tokens, mailbox, oauth, None, notes).await?;
            match by_token(wire, username, &token.access, notes).await {
                // The token may have been revoked since it was kept.
                Err(Fate::SignInRefused) if token.is_kept && !wire.is_lost() => {
                    let token = self::token(tokens, mailbox, oauth, Some(&token.access), notes).await?;
                    by_token(wire, username, &token.access, notes).await
                }
                signed_in => signed_in,
            }
        }
    }
}

/// PLAIN (RFC 4616), or else LOGIN.
async fn by_password(
    wire: &mut Wire,
    offers: &Offers,
    username: &str,
    secret: &Secret,
    notes: &mut Transcript,
) -> Result<(), Fate> {
    wire.hide(secret.expose());
    let offered = |name: &str| offers.sign_ins.iter().any(|offered| offered == name);
    if offered("PLAIN") {
        let both = hidden(wire, &format!("\0{username}\0{}", secret.expose()));
        return done(wire.ask(Stage::SignIn, &format!("AUTH PLAIN {both}"), notes).await?);
    }
    if !offered("LOGIN") {
        return Err(no_way(offers, "PLAIN nor LOGIN", notes));
    }
    let (username, secret) = (STANDARD.encode(username), hidden(wire, secret.expose()));
    let mut answer = wire.ask(Stage::SignIn, "AUTH LOGIN", notes).await?;
    // It asks for the one, then for the other, in whatever words.
    for part in [username, secret] {
        if answer.code == 334 {
            answer = wire.ask(Stage::SignIn, &part, notes).await?;
        }
    }
    done(answer)
}

/// XOAUTH2, as Google and Microsoft have it.
async fn by_token(wire: &mut Wire, username: &str, access: &Secret, notes: &mut Transcript) -> Result<(), Fate> {
    wire.hide(access.expose());
    let both = hidden(wire, &format!("user={username}\x01auth=Bearer {}\x01\x01", access.expose()));
    let mut answer = wire.ask(Stage::SignIn, &format!("AUTH XOAUTH2 {both}"), notes).await?;
    if answer.code == 334 {
        // Why not, in JSON; the refusal comes when it was read.
        answer = wire.ask(Stage::SignIn, "", notes).await?;
    }
    done(answer)
}

async fn token(
    tokens: &Tokens,
    mailbox: &str,
    oauth: &OAuth,
    refused: Option<&Secret>,
    notes: &mut Transcript,
) -> Result<Token, Fate> {
    let began = Instant::now();
    tokens.get(mailbox, oauth, refused).await.map_err(|error| {
        notes.noted(Stage::Token, &error.to_string(), millis(began));
        match error {
            TokenError::Refused(_) => Fate::SignInRefused,
            TokenError::Away(_) => Fate::NotNow,
        }
    })
}

/// In base64, which the server may repeat and nobody is to read.
fn hidden(wire: &mut Wire, text: &str) -> String {
    let encoded = STANDARD.encode(text);
    wire.hide(&encoded);
    encoded
}

fn done(answer: Answer) -> Result<(), Fate> {
    if answer.code < 300 { Ok(()) } else { Err(Fate::SignInRefused) }
}

fn no_way(offers: &Offers, needed: &str, notes: &mut Transcript) -> Fate {
    let offered = if offers.sign_ins.is_empty() { "no sign-in".to_owned() } else { offers.sign_ins.join(", ") };
    notes.noted(Stage::SignIn, &format!("the server does not offer {needed}, but {offered}"), 0);
    Fate::SignInRefused
}
