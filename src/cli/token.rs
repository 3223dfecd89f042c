//! `herald token`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::output::{Json, pretty};
use super::settings::SettingsFile;
use crate::auth::{Claimed, mint_token};
use crate::domain::clock::{Clock as _, SystemClock};
use crate::tenant::{Role, TenantId};
use crate::terminal::say;

/// For deployments whose tokens are signed with auth.hs256_secret: it is read as the server reads it.
#[derive(Args)]
pub(super) struct TokenArgs {
    /// The user or service that the token is for.
    #[arg(long, value_name = "ID")]
    subject: String,
    /// Its organisation, which is then the tenant.
    #[arg(long, value_name = "ID")]
    organization: Option<String>,
    /// Its role; without one the owner of a personal tenant is admin, a member of an organisation viewer.
    #[arg(long, value_parser = ["viewer", "editor", "admin"])]
    role: Option<String>,
    /// How long it is valid.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    #[command(flatten)]
    file: SettingsFile,
    #[command(flatten)]
    form: Json,
}

pub(super) fn token(args: &TokenArgs) -> anyhow::Result<ExitCode> {
    let auth = args.file.layers()?.config()?.auth;
    if auth.hs256_secret.expose().is_empty() {
        bail!("there is no auth.hs256_secret to sign with: set HERALD_AUTH_HS256_SECRET to the server's");
    }
    let tenant = args.organization.as_ref().unwrap_or(&args.subject);
    if let Err(error) = TenantId::parse(tenant) {
        bail!("{tenant:?} would be refused: {error}");
    }
    let claimed = Claimed {
        subject: &args.subject,
        organization: args.organization.as_deref(),
        role: args.role.as_deref().and_then(Role::parse),
        expiry: SystemClock.now().plus_seconds(i64::from(args.minutes) * 60),
    };
    let token = mint_token(&auth, &claimed)?;
    say!("{}", if args.form.json { pretty(&serde_json::json!({ "token": token }))? } else { token });
    Ok(ExitCode::SUCCESS)
}
