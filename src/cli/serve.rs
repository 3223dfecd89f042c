//! `herald serve`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::{self, Seams};
use crate::config::Config;
use crate::telemetry;

/// Every setting may also be in a TOML file or in the environment; README lists them. Once calls are answered, one line
/// on standard output names the address.
#[derive(Args)]
pub(super) struct ServeArgs {
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

pub(super) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let config = load(&args)?;
    telemetry::start(&config.log).map_err(anyhow::Error::msg)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let signal = app::stop_on_signal()?;
        let on_signal = stop.clone();
        tokio::spawn(async move {
            signal.await;
            tracing::info!("stopping");
            on_signal.cancel();
        });
        let dev = config.dev;
        app::run(config, Seams::default(), listener, stop, |_| {
            if dev {
                tracing::warn!("development mode: callers are taken on their word");
            }
            // Nobody may be reading; that is no reason not to serve.
            let _ = writeln!(std::io::stdout(), "herald serves gRPC and gRPC-Web on {address}");
            let _ = std::io::stdout().flush();
        })
        .await?;
        anyhow::Ok(())
    });
    // What was cut at the deadline does not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served.map(|()| ExitCode::SUCCESS)
}

fn load(args: &ServeArgs) -> anyhow::Result<Config> {
    let file = args.config.as_ref().map(|path| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read the configuration file {}", path.display()))
    });
    let file = file.transpose()?;
    let mut flags = Vec::new();
    if args.dev {
        flags.push(("dev", "true".to_owned()));
    }
    flags.extend(args.listen.clone().map(|value| ("listen", value)));
    flags.extend(args.data_dir.clone().map(|value| ("data_dir", value)));
    let config = Config::load(file.as_deref(), std::env::vars(), &flags)?;
    config.validate()?;
    Ok(config)
}
