//! Campaigns: how soon a watcher sees one begin, how fast e-mails are written and sent, and many watchers at once.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use herald::client::Credentials;
use herald::domain::clock::{Clock as _, SystemClock};
use herald::pb;
use herald::pb::agent_service_client::AgentServiceClient;
use herald::pb::mailbox_service_client::MailboxServiceClient;
use herald::pb::watch_workflow_response::Update;
use herald::pb::workflow_service_client::WorkflowServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::args::Args;
use crate::data::{Data, Tenant, prospect};
use crate::report::{Floor, Report};
use crate::servers::Server;

const TEMPLATE: &str = "professional_partnership";
const TENANTS: usize = 1_000;
const PROSPECTS: usize = 100;
/// Streams, and the campaigns that they watch.
const STREAMS: usize = 5_000;
const WATCHED: usize = 50;

pub type Workflow = WorkflowServiceClient<InterceptedService<Channel, Credentials>>;

pub async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let website = website().await?;
    let data = Data::of(TENANTS, PROSPECTS).await?;
    for _ in 0..args.rounds.min(3) {
        let copy = data.copy()?;
        let settings = [("HERALD_FETCH_ALLOW_PRIVATE", "true"), ("HERALD_MAIL_OUTBOX", "true")];
        let server = Server::herald(copy.path(), &settings)?;
        sending(&data, &server, &website, report).await?;
        first_events(&data.tenants[..100], &server, &website, report, true).await?;
        first_events(&data.tenants[100..300], &server, &website, report, false).await?;
        streams(&data, &server, &website, report).await?;
    }
    report.ask("campaigns: start to first event seen, alone, p95", Floor::AtMost(10.0));
    report.ask("campaigns: start to first event seen, beside others, p95", Floor::AtMost(10.0));
    report.ask("streams: memory of each of 5,000", Floor::AtMost(32.0));
    report.ask("streams: from the event to its watchers, p99", Floor::AtMost(100.0));
    Ok(())
}

/// All tenants start a campaign at once; until the last e-mail is sent.
async fn sending(data: &Data, server: &Server, website: &str, report: &mut Report) -> anyhow::Result<()> {
    let channels = channels(server, 8).await?;
    let tenants = data.tenants.iter().enumerate();
    let mut clients: Vec<_> =
        tenants.map(|(n, tenant)| workflow(&channels[n % channels.len()], tenant)).collect::<Result<_, _>>()?;
    for (n, tenant) in data.tenants.iter().enumerate() {
        let mut agent = AgentServiceClient::with_interceptor(
            channels[n % channels.len()].clone(),
            Credentials::bearer(tenant.token.as_str())?,
        );
        let config = pb::AgentConfig { auto_approve: true, ..Default::default() };
        agent.update_agent_config(pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None }).await?;
        let mut mailboxes = MailboxServiceClient::with_interceptor(
            channels[n % channels.len()].clone(),
            Credentials::bearer(tenant.token.as_str())?,
        );
        let (address, kind) = ("hello@acme.example".to_owned(), pb::MailboxKind::Outbox.into());
        let mailbox = Some(pb::Mailbox { address, kind, ..Default::default() });
        mailboxes.create_mailbox(pb::CreateMailboxRequest { mailbox, ..Default::default() }).await?;
    }
    let begun = Instant::now();
    let done = clients.iter_mut().map(|client| async move {
        let campaign = start(client, website).await?;
        let mut written = Duration::ZERO;
        let request = pb::WatchWorkflowRequest { campaign_id: campaign, after_seq: Some(0) };
        let mut stream = client.watch_workflow(request).await?.into_inner();
        while let Some(message) = stream.message().await? {
            let Some(Update::Event(event)) = message.update else { continue };
            if let Some(pb::campaign_event::Kind::StateChanged(changed)) = event.kind {
                match changed.to() {
                    pb::CampaignState::Completed => return Ok((written, begun.elapsed())),
                    pb::CampaignState::Failed => anyhow::bail!("a campaign failed: {changed:?}"),
                    _ => {}
                }
            } else if let Some(pb::campaign_event::Kind::EmailChanged(_)) = event.kind {
                written = begun.elapsed();
            }
        }
        anyhow::bail!("a stream ended before its campaign did")
    });
    try_join_all(done).await?;
    let took = begun.elapsed().as_secs_f64();
    report.note("campaigns: 1,000 tenants × 100 prospects to the last .eml", "s", took);
    report.note("campaigns: e-mails written, approved and sent", "e-mails/s", (TENANTS * PROSPECTS) as f64 / took);
    report.note("memory: herald, after 1,000 campaigns", "KiB", server.memory_kib()? as f64);
    Ok(())
}

/// From the call that starts a campaign to the first event of it: each begins when the one before has ended, or as soon as
/// that has told its first event, while all those before it are worked on.
async fn first_events(
    tenants: &[Tenant],
    server: &Server,
    website: &str,
    report: &mut Report,
    alone: bool,
) -> anyhow::Result<()> {
    let channels = channels(server, 2).await?;
    let mut took = Vec::new();
    for tenant in tenants {
        let (mut starting, mut watching) = (workflow(&channels[0], tenant)?, workflow(&channels[1], tenant)?);
        let begun = Instant::now();
        let campaign = start(&mut starting, website).await?;
        let request = pb::WatchWorkflowRequest { campaign_id: campaign, after_seq: Some(0) };
        let mut stream = watching.watch_workflow(request).await?.into_inner();
        stream.message().await?.context("an event")?;
        took.push(begun.elapsed());
        while alone && stream.message().await?.is_some() {}
    }
    let how = if alone { "alone" } else { "beside others" };
    took.sort_unstable();
    for (name, place) in [("p50", took.len() / 2), ("p95", took.len() * 95 / 100)] {
        report.note(
            &format!("campaigns: start to first event seen, {how}, {name}"),
            "ms",
            took[place].as_secs_f64() * 1e3,
        );
    }
    Ok(())
}

/// Many watchers of some campaigns: what a stream takes, and how late an event comes to all of its campaign's watchers.
async fn streams(data: &Data, server: &Server, website: &str, report: &mut Report) -> anyhow::Result<()> {
    let channels = channels(server, 50).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // The last tenants have campaigns that have ended; a new one waits for its first watchers in none.
    let watched = &data.tenants[TENANTS - WATCHED..];
    let mut campaigns = Vec::new();
    for tenant in watched {
        let mut agent =
            AgentServiceClient::with_interceptor(channels[0].clone(), Credentials::bearer(tenant.token.as_str())?);
        // Held back at the approval, so that watchers can gather.
        let config = pb::AgentConfig { auto_approve: false, ..Default::default() };
        let mask = prost_types::FieldMask { paths: vec!["auto_approve".to_owned()] };
        let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: Some(mask) };
        agent.update_agent_config(request).await?;
        let rows = (0..20).map(|n| prospect(&format!("watched{n}"))).collect();
        agent
            .batch_create_prospects(pb::BatchCreateProspectsRequest { prospects: rows, request_id: String::new() })
            .await?;
        campaigns.push(start(&mut workflow(&channels[0], tenant)?, website).await?);
    }
    for (tenant, campaign) in watched.iter().zip(&campaigns) {
        reaches(&mut workflow(&channels[0], tenant)?, campaign, pb::CampaignState::WaitingApproval).await?;
    }
    let before = server.memory_kib()?;
    let mut open = Vec::new();
    for n in 0..STREAMS {
        let (tenant, campaign) = (&watched[n % WATCHED], &campaigns[n % WATCHED]);
        let mut client = workflow(&channels[n % channels.len()], tenant)?;
        let request = pb::WatchWorkflowRequest { campaign_id: campaign.clone(), after_seq: None };
        let mut stream = client.watch_workflow(request).await?.into_inner();
        stream.message().await?.context("a snapshot")?;
        open.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = server.memory_kib()?.saturating_sub(before) as f64 / STREAMS as f64;
    report.note("streams: memory of each of 5,000", "KiB", each);
    // All are approved, one campaign after the other, and sent while everybody watches.
    let readers: Vec<_> = open
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                let mut late = Vec::new();
                while let Some(message) = stream.message().await? {
                    let Some(Update::Event(event)) = message.update else { continue };
                    let time = event.time.unwrap_or_default();
                    let happened = time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000;
                    late.push(Duration::from_micros((SystemClock.now().0 - happened).max(0).unsigned_abs()));
                }
                anyhow::Ok(late)
            })
        })
        .collect();
    for tenant in watched {
        let request = pb::ReviewEmailsRequest { others: pb::ReviewDecision::Approve.into(), ..Default::default() };
        workflow(&channels[0], tenant)?.review_emails(request).await?;
    }
    let mut late = Vec::new();
    for reader in readers {
        late.extend(reader.await??);
    }
    late.sort_unstable();
    report.note("streams: events seen", "events", late.len() as f64);
    for (name, place) in [("p50", late.len() / 2), ("p99", late.len() * 99 / 100)] {
        report.note(&format!("streams: from the event to its watchers, {name}"), "ms", late[place].as_secs_f64() * 1e3);
    }
    Ok(())
}

async fn channels(server: &Server, count: usize) -> anyhow::Result<Vec<Channel>> {
    let endpoint = Endpoint::from_shared(server.url())?.tcp_nodelay(true);
    Ok(try_join_all((0..count).map(|_| endpoint.connect())).await?)
}

pub fn workflow(channel: &Channel, tenant: &Tenant) -> anyhow::Result<Workflow> {
    Ok(WorkflowServiceClient::with_interceptor(channel.clone(), Credentials::bearer(tenant.token.as_str())?))
}

pub async fn start(client: &mut Workflow, website: &str) -> anyhow::Result<String> {
    let (website, template_id) = (website.to_owned(), TEMPLATE.to_owned());
    // The parts after the first one write to the same people.
    let recipients = Some(pb::RecipientRules { not_again_days: Some(0), ..Default::default() });
    let request = pb::StartWorkflowRequest { website, template_id, recipients, ..Default::default() };
    Ok(client.start_workflow(request).await?.into_inner().campaign.context("a campaign")?.id)
}

pub async fn reaches(client: &mut Workflow, campaign: &str, state: pb::CampaignState) -> anyhow::Result<()> {
    for _ in 0..3_000 {
        let request = pb::GetWorkflowRequest { campaign_id: campaign.to_owned() };
        let now = client.get_workflow(request).await?.into_inner().campaign.context("a campaign")?;
        if now.state() == state {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("a campaign does not become {state:?}")
}

/// A company's website of one page, on loopback.
pub async fn website() -> anyhow::Result<String> {
    let page = "<title>Acme</title><h1>Acme makes glasshouses for horticulture</h1><p>Since 1990 in Odemira.</p>";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(url)
}
