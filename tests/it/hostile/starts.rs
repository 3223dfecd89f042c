//! A tenant that starts campaigns without end, at a website that never answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use herald::pb::{self, CampaignState};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::Target;
use crate::support::{add_prospects, auto_approve, reaches, reason, site, start_campaign};

/// A website that takes calls and says nothing; it counts who waits.
struct Silent {
    url: String,
    open: Arc<AtomicUsize>,
    came: Arc<AtomicUsize>,
}

impl Silent {
    async fn serve() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let (open, came) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (now, all) = (open.clone(), came.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let now = now.clone();
                now.fetch_add(1, Ordering::Relaxed);
                all.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                    now.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { url, open, came }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// How long it takes until so many wait; None if it takes more than five seconds.
    async fn reaches(&self, open: usize) -> Option<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if self.open() == open {
                return Some(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

/// Ten starts a minute, and then none until the time that is told; what is ended leaves nothing behind, and others' campaigns
/// take no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starts_without_end_are_refused_after_ten_and_hold_up_nobody() {
    let mut target = Target::start(&[]).await;
    let silent = Silent::serve().await;
    let ordinary = site::pages([("/", site::html("<title>Acme</title><h1>Acme tools</h1>"))]).await;
    let bystander = target.bystander().await;
    let memory = target.memory();
    let mut api = target.user("attacker").await;
    let start = || pb::StartWorkflowRequest { website: silent.url.clone(), ..Default::default() };
    let (mut started, mut refused) = (0, 0);
    for _ in 0..60 {
        match api.workflow.start_workflow(start()).await {
            Ok(_) => started += 1,
            Err(status) => {
                assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_MANY_STARTS"));
                let details = status.get_error_details();
                let after = details.retry_info().and_then(|retry| retry.retry_delay).expect("when to try again");
                assert!(after > Duration::ZERO && after <= Duration::from_secs(60), "{after:?}");
                refused += 1;
            }
        }
        api.workflow.reset_workflow(pb::ResetWorkflowRequest {}).await.expect("reset");
    }
    assert_eq!((started, refused), (10, 50));
    let gone = silent.reaches(0).await;
    assert!(
        gone.is_some_and(|gone| gone < Duration::from_secs(1)),
        "{} calls of ended campaigns: {gone:?}",
        silent.open()
    );

    // Eight tenants more, as many silent calls each as they may have; a ninth's campaign is an ordinary one.
    let mut waiting = Vec::new();
    for n in 0..8 {
        let mut api = target.user(&format!("attacker_{n}")).await;
        start_campaign(&mut api, &silent.url).await;
        waiting.push(api);
    }
    assert!(silent.reaches(8).await.is_some(), "{} wait", silent.open());
    let mut other = target.user("other").await;
    add_prospects(&mut other, 2).await;
    auto_approve(&mut other).await;
    let begun = Instant::now();
    start_campaign(&mut other, &ordinary).await;
    reaches(&mut other, CampaignState::Completed).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    // Whoever cancels has the call to the outside ended at once.
    for (nth, api) in waiting.iter_mut().enumerate() {
        api.workflow.cancel_workflow(pb::CancelWorkflowRequest::default()).await.expect("cancelled");
        let gone = silent.reaches(7 - nth).await;
        assert!(gone.is_some_and(|gone| gone < Duration::from_secs(1)), "{} wait: {gone:?}", silent.open());
    }
    target.assert_alive();
    println!("{} calls came to the silent website", silent.came.load(Ordering::Relaxed));
    memory.assert_bounded("starts");
    bystander.assert_served("starts");
}
