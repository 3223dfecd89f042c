//! A volume that is full: what was acknowledged is there, what is refused says so, and all goes on by itself once there is
//! room. Where mounting is not allowed, a full store (`files`) stands for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use herald::cli::Api;
use herald::pb::{self, CampaignState};
use sqlx::{Connection as _, SqliteConnection};
use tonic::Code;

use crate::files::local_files;
use crate::support::process::{Server, serve};
use crate::support::site;
use crate::support::{add_prospects, approve_all, folder, newest, reaches, reason, start_campaign};

/// A small file system of its own, unmounted when dropped.
pub struct Mount(PathBuf);

impl Mount {
    /// None where this user may not mount.
    pub fn new(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).expect("made");
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(&self.0).status();
    }
}

/// Imports until nothing more fits, so many prospects at once; the ids that were acknowledged.
async fn fill(api: &mut Api, at_once: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for round in 0.. {
        match import(api, round, at_once).await {
            Ok(more) => ids.extend(more),
            Err(status) => {
                let told = (status.code(), reason(&status));
                assert_eq!(told, (Code::ResourceExhausted, "DISK_FULL".to_owned()), "{status:?}");
                return ids;
            }
        }
    }
    unreachable!("a small disk is full some time")
}

/// Imports prospects of 2 KB each.
async fn import(api: &mut Api, round: usize, count: usize) -> Result<Vec<String>, tonic::Status> {
    let prospect = |n: usize| pb::Prospect {
        email: format!("p{round}.{n}@example.com"),
        notes: "x".repeat(2_000),
        ..Default::default()
    };
    let prospects = (0..count).map(prospect).collect();
    let request = pb::BatchCreateProspectsRequest { prospects, request_id: String::new() };
    let answer = api.agent.batch_create_prospects(request).await?;
    Ok(answer.into_inner().results.into_iter().map(|result| result.prospect_id).collect())
}

/// Takes the last bytes of the volume, so that nothing fits any more.
fn fill_up(data: &Path) -> PathBuf {
    use std::io::Write as _;
    let path = data.join("filler");
    let mut file = std::fs::File::create(&path).expect("made");
    while file.write_all(&[0; 4_096]).is_ok() {}
    path
}

async fn all_there(server: &Server, user: &str, ids: &[String]) {
    let mut api = server.user(user).await;
    let (mut found, mut page_token) = (BTreeSet::new(), String::new());
    loop {
        let request = pb::ListProspectsRequest { page_size: 1_000, page_token, ..Default::default() };
        let page = api.agent.list_prospects(request).await.expect("reads go on").into_inner();
        found.extend(page.prospects.into_iter().map(|prospect| prospect.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(ids.iter().all(|id| found.contains(id)), "everything acknowledged is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_filled_to_the_brim_nothing_acknowledged_is_lost_and_it_goes_on_once_there_is_room() {
    let around = folder();
    let data = around.path().join("data");
    let Some(_mount) = Mount::new(&data, "10m") else { return };
    // What is made room of later: SQLite then needs some for folding in its log, of 4 MiB at most.
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![0; 5 * 1024 * 1024]).expect("room");
    let server = serve(&data, &[]);
    let mut api = server.user("user_a").await;
    add_prospects(&mut api, 20).await;
    api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect("there is room");
    let old = local_files(&data.join("users/user_a"));
    let ids = fill(&mut api, 50).await;
    assert!(!ids.is_empty());
    let filler = fill_up(&data);
    let status = api.tenant.write_snapshot(pb::WriteSnapshotRequest {}).await.expect_err("full");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "DISK_FULL"), "{status:?}");
    assert_eq!(
        local_files(&data.join("users/user_a")),
        old,
        "the old files are whole, and nothing half-written is left"
    );
    all_there(&server, "user_a", &ids).await;

    // Killed while it is full, and started again with room.
    drop(server);
    std::fs::remove_file(filler).expect("removed");
    std::fs::remove_file(ballast).expect("removed");
    let server = serve(&data, &[]);
    all_there(&server, "user_a", &ids).await;
    let mut api = server.user("user_a").await;
    api.agent
        .delete_prospect(pb::DeleteProspectRequest { prospect_id: ids[0].clone(), etag: String::new() })
        .await
        .expect("writes go on");
    crate::support::kill::assert_whole(&data).await;
}

/// A volume whose log is larger than what will be left: a reader, such as a copy that is being made, has kept it from being
/// checkpointed until the volume was full. A campaign that was sending is on hold.
struct Overfull {
    server: Server,
    api: Api,
    data: PathBuf,
    ids: Vec<String>,
    /// The MiB that a checkpoint takes, which are fewer than the log has.
    needs: usize,
    _mount: Mount,
    _around: tempfile::TempDir,
}

const MIB: u64 = 1024 * 1024;
/// The files of one MiB that are made room of.
const BALLAST: usize = 48;
/// The campaign's letters: some are left when the volume is full.
const LETTERS: usize = 60;
/// How soon what waits goes on once there is room.
const SOON: Duration = Duration::from_secs(30);

impl Overfull {
    /// None where this user may not mount.
    async fn new() -> Option<Self> {
        let around = folder();
        let data = around.path().join("data");
        let mount = Mount::new(&data, "96m")?;
        let mib =
            |name: &str, count: u64| std::fs::write(data.join(name), vec![1; (count * MIB) as usize]).expect("room");
        (0..BALLAST).for_each(|n| mib(&format!("ballast{n}"), 1));
        mib("spare", 4);
        let server = serve(&data, &[]);
        let mut api = server.user("user_a").await;
        add_prospects(&mut api, LETTERS).await;
        let website = site::pages([("/", site::company())]).await;
        start_campaign(&mut api, &website).await;
        reaches(&mut api, CampaignState::WaitingApproval).await;

        let database = format!("sqlite://{}", data.join("herald.db").display());
        let mut reader = SqliteConnection::connect(&database).await.expect("the database");
        sqlx::query("BEGIN").execute(&mut reader).await.expect("begun");
        sqlx::query("SELECT COUNT(*) FROM prospects").execute(&mut reader).await.expect("read");
        let mut importing = server.user("user_b").await;
        let mut ids = Vec::new();
        for at_once in [500, 20, 1] {
            ids.extend(fill(&mut importing, at_once).await);
        }
        std::fs::remove_file(data.join("spare")).expect("removed");
        approve_all(&mut api).await;
        fill_up(&data);
        // It stands still: on hold if it had begun by then, else not claimed.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let held = newest(&mut api).await;
        assert_eq!(held.state(), CampaignState::Running, "{held:?}");
        assert!(["", "the disk is full"].contains(&held.hold.as_str()), "{}", held.hold);
        sqlx::query("COMMIT").execute(&mut reader).await.expect("over");
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut reader).await.expect("a count");
        reader.close().await.expect("closed");
        let needs = (pages * 4_096) as usize / MIB as usize + 2;
        let full = Self { server, api, data, ids, needs, _mount: mount, _around: around };
        assert!(needs < BALLAST, "{needs}");
        assert!(full.size("herald.db-wal") > needs as u64 * MIB, "the log has more than {needs} MiB");
        Some(full)
    }

    fn size(&self, name: &str) -> u64 {
        std::fs::metadata(self.data.join(name)).expect("a file").len()
    }

    /// Waits until the database has taken in what the log held, since it had so many bytes.
    async fn checkpoints_since(&self, before: u64) {
        let begun = Instant::now();
        while self.size("herald.db") < before + 16 * MIB {
            assert!(begun.elapsed() < SOON, "{} bytes in the database", self.size("herald.db"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn make_room(&self, pieces: std::ops::Range<usize>) {
        for n in pieces {
            std::fs::remove_file(self.data.join(format!("ballast{n}"))).expect("removed");
        }
    }

    /// The campaign goes on, soon, and sends each letter once.
    async fn goes_on(&mut self) {
        let begun = Instant::now();
        let done = reaches(&mut self.api, CampaignState::Completed).await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!((done.emails.expect("counts").sent, done.hold.as_str()), (LETTERS as i32, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_larger_than_what_is_left_is_checkpointed_as_soon_as_there_is_room_and_the_hold_ends_by_itself() {
    let Some(mut full) = Overfull::new().await else { return };
    let before = full.size("herald.db");
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(full.size("herald.db"), before, "what cannot fit takes no room from those who write");
    full.make_room(0..full.needs);
    full.goes_on().await;
    full.checkpoints_since(before).await;
    all_there(&full.server, "user_b", &full.ids).await;
}

/// Less room than a checkpoint takes is for the writes, and not for a checkpoint that would fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_less_room_than_the_log_takes_writes_go_on_and_the_log_waits_for_more() {
    let Some(mut full) = Overfull::new().await else { return };
    let before = full.size("herald.db");
    full.make_room(0..12);
    full.goes_on().await;
    assert_eq!(full.size("herald.db"), before, "it would not have fitted");
    full.make_room(12..BALLAST);
    full.checkpoints_since(before).await;
    all_there(&full.server, "user_b", &full.ids).await;
}

/// Whatever is written over again fits into a log that is begun anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_volume_refuses_no_write_for_which_the_log_has_room_once_it_is_checkpointed() {
    let around = folder();
    let data = around.path().join("data");
    let Some(_mount) = Mount::new(&data, "8m") else { return };
    let server = serve(&data, &[]);
    let mut api = server.user("user_a").await;
    add_prospects(&mut api, 5).await;
    // The room that the rows take in the database, those of the audit log among them, and 4 MiB of log.
    std::fs::write(data.join("ballast"), vec![1; MIB as usize]).expect("room");
    for n in 0..1_000 {
        let config = pb::AgentConfig { location: format!("{n} {}", "x".repeat(100)), ..Default::default() };
        let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
        api.agent.update_agent_config(request).await.unwrap_or_else(|status| panic!("{n}: {status:?}"));
    }
}
