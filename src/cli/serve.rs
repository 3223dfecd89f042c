//! `herald serve`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::settings::Settings;
use crate::app::{self, Seams};
use crate::check;
use crate::domain::finding::Finding;
use crate::files::keep_private;
use crate::telemetry;
use crate::terminal;

/// Makes the data folder if it is not there. Every setting may also be in a TOML file or in the environment; docs/configuration.md lists them. Once calls are answered, one line
/// on standard output names the address.
#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let layers = args.settings.layers()?;
    let config = layers.config()?;
    config.validate()?;
    // Whatever is made here is for this user alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let telemetry = {
        let _inside = runtime.enter();
        telemetry::start(&config).map_err(anyhow::Error::msg)?
    };
    if let Some((first, others)) = layers.service_links().split_first() {
        let others = others.len();
        tracing::warn!(first, others, "variables are an orchestrator's service links, not settings: passed over");
    }
    if let Some(path) = args.settings.secret_file(&layers) {
        keep_private("the configuration file, which holds a secret,", path)?;
    }
    for Finding { wrong, to_do, .. } in check::served_certificate(&config) {
        tracing::warn!(to_do, "{wrong}");
    }
    let served = runtime.block_on(async {
        let listener = app::listen(&config).await?;
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
            tracing::info!(version = env!("HERALD_VERSION"), %address, "serving");
            if dev {
                tracing::warn!("development mode: callers are taken on their word");
            }
            // Nobody may be reading; that is no reason not to serve.
            let _ = terminal::try_out(format_args!("herald serves gRPC and gRPC-Web on {address}"));
        })
        .await?;
        anyhow::Ok(())
    });
    telemetry.stop();
    // What was cut at the deadline does not keep the process.
    runtime.shutdown_timeout(Duration::from_millis(500));
    served.map(|()| ExitCode::SUCCESS)
}
