//! The server's settings, for the commands that need them, and `herald settings`, which prints them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::input;
use super::output::{Json, pretty};
use crate::budget;
use crate::config::Layers;
use crate::terminal::say;

/// For commands that need a setting or two, and no flag for them.
#[derive(Args)]
pub(super) struct SettingsFile {
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE", env = "HERALD_CONFIG")]
    config: Option<PathBuf>,
}

/// For commands that work in the data folder.
#[derive(Args)]
pub(super) struct FolderSettings {
    /// The folder of the database and the tenants' files. [default: data] [env: HERALD_DATA_DIR=]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    #[command(flatten)]
    file: SettingsFile,
}

/// Where the settings come from: defaults, file, environment, flags, the later ones before the earlier ones.
#[derive(Args)]
pub(super) struct Settings {
    /// Development: take `x-user-id`, and callers without credentials as the tenant `anonymous`, on their word. Serves
    /// loopback only. [env: HERALD_DEV=]
    #[arg(long)]
    dev: bool,
    /// The address to serve on; port 0 picks a free one. [default: 127.0.0.1:50051] [env: HERALD_LISTEN=]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    #[command(flatten)]
    folder: FolderSettings,
}

/// Print every setting of the server in force, as TOML, with where its value came from. Secrets are hidden.
#[derive(Args)]
pub(super) struct SettingsArgs {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    form: Json,
}

/// Prints the settings, and then says whether they can work.
pub(super) fn settings(args: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let layers = args.settings.layers()?;
    let config = layers.known().or_else(|_| layers.config())?;
    if args.form.json {
        let setting = |(key, value, origin)| json!({ "key": key, "value": value, "origin": origin });
        let settings: Vec<_> = layers.entries()?.into_iter().map(setting).collect();
        say!("{}", pretty(&json!({ "settings": settings, "memoryBytes": budget::sum(&config).to_string() }))?);
    } else {
        say!("{}", layers.describe()?.trim_end());
        say!("\n# The memory that this may take at most (docs/operating.md):");
        budget::describe(&config).lines().for_each(|line| say!("# {line}"));
    }
    layers.config()?.validate()?;
    Ok(ExitCode::SUCCESS)
}

// === impl SettingsFile ===

impl SettingsFile {
    /// The settings as they are, whether or not they can work.
    pub(super) fn layers(&self) -> anyhow::Result<Layers> {
        self.under(&[])
    }

    /// The same with those of flags, by their paths.
    fn under(&self, flags: &[(&str, String)]) -> anyhow::Result<Layers> {
        let file = self.config.as_ref().map(|path| {
            let read = input::text(path, &input::TEXT);
            read.with_context(|| format!("--config, HERALD_CONFIG: {} cannot be read", path.display()))
        });
        Ok(Layers::read(file.transpose()?.as_deref(), environment()?, flags)?)
    }
}

// === impl FolderSettings ===

impl FolderSettings {
    /// The settings as they are, whether or not they can work.
    pub(super) fn layers(&self) -> anyhow::Result<Layers> {
        self.file.under(&self.flags())
    }

    fn flags(&self) -> Vec<(&'static str, String)> {
        self.data_dir.clone().map(|value| ("data_dir", value)).into_iter().collect()
    }
}

// === impl Settings ===

impl Settings {
    /// The configuration file, if there is one and it holds a secret.
    pub(super) fn secret_file(&self, layers: &Layers) -> Option<&Path> {
        self.folder.file.config.as_deref().filter(|_| layers.file_holds_secret())
    }

    /// The settings as they are, whether or not they can work.
    pub(super) fn layers(&self) -> anyhow::Result<Layers> {
        let mut flags = self.folder.flags();
        if self.dev {
            flags.push(("dev", "true".to_owned()));
        }
        flags.extend(self.listen.clone().map(|value| ("listen", value)));
        self.folder.file.under(&flags)
    }
}

/// The environment. What is no UTF-8 is told by its name alone, and by that only if it is ours.
fn environment() -> anyhow::Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => all.push((name, value)),
            Err(_) if name.starts_with("HERALD_") || name == "REDIS_URL" => anyhow::bail!("{name}: is no UTF-8"),
            Err(_) => {}
        }
    }
    Ok(all)
}
