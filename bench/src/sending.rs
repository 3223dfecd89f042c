//! Mail to a mail server: how many letters are sent a second, each marked on the disk before and after, beside a plain loop that
//! marks nothing; and how soon a campaign's first letter is there.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use herald::client::Credentials;
use herald::pb;
use herald::pb::agent_service_client::AgentServiceClient;
use herald::pb::mailbox_service_client::MailboxServiceClient;
use herald::pb::workflow_service_client::WorkflowServiceClient;
use lettre::message::header::ContentType;
use lettre::transport::smtp::PoolConfig;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tonic::transport::{Channel, Endpoint};

use crate::args::Args;
use crate::campaigns::{Workflow, reaches, start, website, workflow};
use crate::data::{Data, Tenant};
use crate::report::{Floor, Report};
use crate::servers::Server;
use crate::sink::Sink;

const TENANTS: usize = 100;
const PROSPECTS: usize = 200;
/// The campaigns whose first letter is waited for, one after another.
const FIRST: usize = 50;

pub async fn run(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let website = website().await?;
    let data = Data::of(TENANTS, PROSPECTS).await?;
    for _ in 0..args.rounds.min(3) {
        let sink = Sink::start()?;
        for (name, tenants) in [("one mailbox", &data.tenants[..1]), ("100 tenants", &data.tenants[..])] {
            let copy = data.copy()?;
            let server = serve(copy.path())?;
            let took = durable(tenants, &server, &sink, &website).await?;
            let mails = (tenants.len() * PROSPECTS) as f64;
            report.note(&format!("sending: durable, {name}"), "mails/s", mails / took.as_secs_f64());
            let took = plain(&sink, tenants.len()).await?;
            report.note(&format!("sending: a plain loop of lettre, {name}"), "mails/s", mails / took.as_secs_f64());
        }
        let copy = data.copy()?;
        let server = serve(copy.path())?;
        first_letters(&data.tenants[..FIRST], &server, &sink, &website, report).await?;
    }
    report.ask("sending: durable, 100 tenants", Floor::AtLeast(1_000.0));
    let (durable, plain) = ("sending: durable, 100 tenants", "sending: a plain loop of lettre, 100 tenants");
    report.ratio("sending: durable beside a plain loop", durable, plain, Floor::AtLeast(0.5));
    Ok(())
}

fn serve(folder: &std::path::Path) -> anyhow::Result<Server> {
    Server::herald(folder, &[("HERALD_FETCH_ALLOW_PRIVATE", "true"), ("HERALD_MAIL_ALLOW_PRIVATE", "true")])
}

/// A mailbox that sends to the sink as fast as it can, and a configuration that approves if it is to.
async fn prepare(channel: &Channel, tenant: &Tenant, sink: &Sink, auto_approve: bool) -> anyhow::Result<()> {
    let credentials = || Credentials::bearer(tenant.token.as_str());
    let mut agent = AgentServiceClient::with_interceptor(channel.clone(), credentials()?);
    let config = Some(pb::AgentConfig { auto_approve, ..Default::default() });
    agent.update_agent_config(pb::UpdateAgentConfigRequest { config, update_mask: None }).await?;
    let mut mailboxes = MailboxServiceClient::with_interceptor(channel.clone(), credentials()?);
    let smtp = pb::SmtpServer {
        host: "127.0.0.1".to_owned(),
        port: i32::from(sink.port),
        security: pb::SmtpSecurity::None.into(),
        ..Default::default()
    };
    let pace = pb::Pace {
        max_emails_per_hour: Some(0),
        max_emails_per_day: Some(0),
        min_pause_seconds: Some(0),
        max_pause_seconds: Some(0),
        ..Default::default()
    };
    let day = |hours| Some(pb::TimeOfDay { hours, minutes: 0 });
    let calendar = pb::Calendar {
        days: (1..=7).collect(),
        hours: Some(pb::WorkingHours { start: day(0), end: day(24) }),
        ..Default::default()
    };
    let mailbox = pb::Mailbox {
        address: "anna@acme.example".to_owned(),
        smtp: Some(smtp),
        pace: Some(pace),
        calendar: Some(calendar),
        ..Default::default()
    };
    mailboxes.create_mailbox(pb::CreateMailboxRequest { mailbox: Some(mailbox), ..Default::default() }).await?;
    Ok(())
}

/// All letters are written first; from their approval to the last one at the sink.
async fn durable(tenants: &[Tenant], server: &Server, sink: &Sink, website: &str) -> anyhow::Result<Duration> {
    let channel = Endpoint::from_shared(server.url())?.tcp_nodelay(true).connect().await?;
    let mut clients: Vec<Workflow> = tenants.iter().map(|t| workflow(&channel, t)).collect::<Result<_, _>>()?;
    try_join_all(tenants.iter().map(|tenant| prepare(&channel, tenant, sink, false))).await?;
    let written = clients.iter_mut().map(|client| async move {
        let campaign = start(client, website).await?;
        reaches(client, &campaign, pb::CampaignState::WaitingApproval).await
    });
    try_join_all(written).await?;
    let (before, begun) = (sink.mails(), Instant::now());
    let approved = clients.iter_mut().map(|client| async move {
        let request = pb::ReviewEmailsRequest { others: pb::ReviewDecision::Approve.into(), ..Default::default() };
        client.review_emails(request).await
    });
    try_join_all(approved).await?;
    sink.reaches(before + tenants.len() * PROSPECTS).await;
    Ok(begun.elapsed())
}

/// As many letters over as many connections, one after another on each.
async fn plain(sink: &Sink, connections: usize) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let loops = (0..connections).map(|_| async {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1");
        let transport = transport.port(sink.port).pool_config(PoolConfig::new().max_size(1)).build();
        for n in 0..PROSPECTS {
            let letter = Message::builder()
                .from("Anna Berg <anna@acme.example>".parse()?)
                .to(format!("kim{n}@list.example").parse()?)
                .subject("Sensors for your greenhouses")
                .header(ContentType::TEXT_PLAIN)
                .body("A letter of about the length of those that Herald writes.\n".repeat(15))?;
            transport.send(letter).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(loops).await?;
    Ok(begun.elapsed())
}

/// From the call that starts a campaign to its first letter at the sink.
async fn first_letters(
    tenants: &[Tenant],
    server: &Server,
    sink: &Sink,
    website: &str,
    report: &mut Report,
) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(server.url())?.tcp_nodelay(true).connect().await?;
    let mut took = Vec::new();
    for tenant in tenants {
        prepare(&channel, tenant, sink, true).await?;
        let mut client: WorkflowServiceClient<_> = workflow(&channel, tenant)?;
        let (before, begun) = (sink.mails(), Instant::now());
        start(&mut client, website).await?;
        sink.reaches(before + 1).await;
        took.push(begun.elapsed());
        sink.reaches(before + PROSPECTS).await;
    }
    took.sort_unstable();
    for (name, place) in [("p50", took.len() / 2), ("p95", took.len() * 95 / 100)] {
        let time = took.get(place).context("a campaign")?;
        report.note(&format!("sending: start to first letter, {name}"), "ms", time.as_secs_f64() * 1e3);
    }
    Ok(())
}
