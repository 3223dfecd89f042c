//! The kill harness: a server that dies by its own SIGKILL at a named place of the code, is started again on the same
//! folder, and is then compared with what its callers had been answered.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use herald::crash;
use sqlx::{Connection as _, SqliteConnection};

use super::Seeded;
use super::process::{Server, serve};

/// Where a server dies: at the n-th passing of a place.
#[derive(Debug, Clone, Copy)]
pub struct Kill {
    pub point: &'static str,
    pub passing: u64,
}

/// Starts a server that is to die, lets `load` work with it until it has, and starts one again as if nothing had happened.
pub async fn killed<L>(data: &Path, kill: Kill, load: impl AsyncFnOnce(&Server) -> L) -> (Server, L) {
    let loaded = dies(data, kill, load).await;
    (serve(data, &[]), loaded)
}

/// The same without the second start.
pub async fn dies<L>(data: &Path, kill: Kill, load: impl AsyncFnOnce(&Server) -> L) -> L {
    let mut server = serve(data, &[("HERALD_CRASH_AT", &kill.to_string())]);
    let loaded = load(&server).await;
    let status = server.ended().await;
    assert_eq!(status.signal(), Some(9), "{kill}: it ends by its own SIGKILL: {status}");
    loaded
}

/// Reads every page of the folder's database, beside its server.
pub async fn assert_whole(data: &Path) {
    let url = format!("sqlite://{}?mode=ro", data.join("herald.db").display());
    let mut database = SqliteConnection::connect(&url).await.expect("the database");
    // All of it as it was at one moment: campaigns may go on.
    sqlx::query("BEGIN").execute(&mut database).await.expect("a transaction");
    let (answer,): (String,) =
        sqlx::query_as("PRAGMA integrity_check").fetch_one(&mut database).await.expect("an answer");
    assert_eq!(answer, "ok");
    // What triggers count is what is there.
    for (counts, rows) in [
        (
            "SELECT tenant_id, campaign_id, status, count FROM email_counts WHERE count != 0 ORDER BY 1, 2, 3",
            "SELECT tenant_id, campaign_id, status, COUNT(*) FROM emails WHERE campaign_id IS NOT NULL
             GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        ),
        (
            "SELECT tenant_id, '', status, count FROM prospect_counts WHERE count != 0 ORDER BY 1, 3",
            "SELECT tenant_id, '', status, COUNT(*) FROM prospects WHERE delete_time IS NULL
             GROUP BY 1, 3 ORDER BY 1, 3",
        ),
    ] {
        let mut both: Vec<Vec<(String, String, String, i64)>> = Vec::new();
        for query in [counts, rows] {
            both.push(sqlx::query_as(query).fetch_all(&mut database).await.expect("rows"));
        }
        assert_eq!(both[0], both[1], "counted, and there");
    }
}

// === impl Kill ===

impl Kill {
    /// One of the places, at one of the passings that a load comes to soon.
    pub fn choose(random: &Seeded) -> Self {
        let point = crash::POINTS[random.below(crash::POINTS.len())];
        // Every write passes those of the store, the first ones while the server starts; a campaign passes the end of each
        // of its steps once.
        let passings = match point {
            _ if point.starts_with("store.") => 10..150,
            _ if point.ends_with(".done") => 1..3,
            _ => 1..10,
        };
        Self { point, passing: passings.start + random.below((passings.end - passings.start) as usize) as u64 }
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.point, self.passing)
    }
}
