//! The ports: whether they are free, or are the folder's own server's.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::report::Report;
use crate::app::{self, AppError};
use crate::config::Config;
use crate::domain::finding::Finding;
use crate::files::{Holder, holder};

/// Binds all for a moment, one beside the other, as `serve` does.
pub(super) async fn look(config: &Config, report: &mut Report) {
    let holder = holder(&config.data_dir);
    if let Some(Holder { process, .. }) = &holder {
        report.add(format!("the data folder has a server at work: process {process}"), []);
    }
    let of_holder = |address: SocketAddr| holder.as_ref().is_some_and(|holder| holder.addresses.contains(&address));
    let finding = |error: &AppError, address: Option<SocketAddr>| {
        let is_ours = error.is_taken_port() && address.is_some_and(of_holder);
        let to_do = "choose another address, or stop who has it: `ss -ltnp` tells";
        (!is_ours).then(|| Finding::of(error, to_do))
    };
    let port = app::listen(config).await;
    let wrong = port.as_ref().err().and_then(|error| finding(error, Some(config.listen)));
    report.add(format!("listen: {}", config.listen), wrong);
    let admin = &config.admin.listen;
    // What is no address, or the same one, is told by the settings.
    let address = admin.parse().ok().filter(|admin: &SocketAddr| *admin != config.listen || admin.port() == 0);
    let mut admin_port = None;
    if let Some(address) = address {
        admin_port = Some(app::listen_admin(config).await);
        let refused = admin_port.as_ref().and_then(|port| port.as_ref().err());
        let wrong = refused.and_then(|error| finding(error, Some(address)));
        report.add(format!("admin.listen: {admin}"), wrong);
    }
    let links = &config.server.links_listen;
    let others = [Some(config.listen), config.admin.listen.parse().ok()];
    let address = links.parse().ok().filter(|links: &SocketAddr| !others.contains(&Some(*links)) || links.port() == 0);
    if let Some(address) = address {
        let wrong = app::listen_for_links(config).await.err().and_then(|error| finding(&error, Some(address)));
        report.add(format!("server.links_listen: {links}"), wrong);
    }
    drop((port, admin_port));
}

impl AppError {
    fn is_taken_port(&self) -> bool {
        matches!(self, Self::Listen { source, .. } | Self::Admin { source, .. } | Self::Links { source, .. } if source.kind() == ErrorKind::AddrInUse)
    }
}
