//! The server's settings, for the commands that need them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::agent_config;
use crate::budget;
use crate::config::Layers;
use crate::terminal::say;

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
    /// The folder for the database and the tenants' files; made if it is not there. [default: data] [env: HERALD_DATA_DIR=]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE", env = "HERALD_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print every setting of the server in force, as TOML, with where its value came from. Secrets are hidden.
    Print(Settings),
    /// Print the tenant's configuration, from a running server. The password of its mail server never comes out.
    Get(agent_config::GetArgs),
    /// Change fields of the tenant's configuration, on a running server.
    Set(agent_config::SetArgs),
}

impl Settings {
    /// The configuration file, if there is one and it holds a secret.
    pub(super) fn secret_file(&self, layers: &Layers) -> Option<&Path> {
        self.config.as_deref().filter(|_| layers.file_holds_secret())
    }

    /// The settings as they are, whether or not they can work.
    pub(super) fn layers(&self) -> anyhow::Result<Layers> {
        let file = self.config.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the configuration file {}", path.display()))
        });
        let file = file.transpose()?;
        let mut flags = Vec::new();
        if self.dev {
            flags.push(("dev", "true".to_owned()));
        }
        flags.extend(self.listen.clone().map(|value| ("listen", value)));
        flags.extend(self.data_dir.clone().map(|value| ("data_dir", value)));
        Ok(Layers::read(file.as_deref(), environment()?, &flags)?)
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

pub(super) fn config(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let settings = match &args.command {
        Command::Print(settings) => settings,
        Command::Get(args) => return agent_config::get(args),
        Command::Set(args) => return agent_config::set(args),
    };
    let layers = settings.layers()?;
    say!("{}", layers.describe()?.trim_end());
    let config = layers.config()?;
    say!("\n# The memory that this may take at most (docs/operating.md):");
    budget::describe(&config).lines().for_each(|line| say!("# {line}"));
    // What cannot work is told as well, after what it is.
    config.validate()?;
    Ok(ExitCode::SUCCESS)
}
