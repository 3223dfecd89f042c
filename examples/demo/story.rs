//! Two tenants run a campaign at once, over SMTP, each from a mailbox of its own; a reader of one unsubscribes by the link of her
//! letter, and the next campaign leaves her out.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use herald::app::{self, Seams};
use herald::cli::{Api, Connection, Progress, Rules, RunArgs, run_campaign};
use herald::config::Config;
use herald::pb;
use indicatif::MultiProgress;
use mail_parser::MessageParser;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// The tenants, who writes their letters, and the template that each chose.
const TENANTS: [(&str, &str, &str, &str); 2] = [
    ("user_a", "Anna Fernwick", "anna@fernwick.example", "professional_partnership"),
    ("user_b", "Ben Fernwick", "ben@fernwick.example", "modern_tech"),
];

pub(crate) struct Story {
    /// New: what Herald and the mail server keep.
    pub(crate) folder: PathBuf,
    /// One that has aiosmtpd.
    pub(crate) python: PathBuf,
    /// The letters of each tenant's campaign, at most.
    pub(crate) letters: i32,
}

/// Somebody who runs campaigns.
struct Tenant {
    user: &'static str,
    address: &'static str,
    api: Api,
    campaign: pb::Campaign,
}

/// A letter, as the mail server has it.
struct Letter {
    from: String,
    to: String,
    message_id: String,
    subject: String,
    unsubscribe: String,
    body: String,
}

/// Herald, in this process.
struct Server {
    url: String,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), app::AppError>>,
}

/// A program of Python that serves on loopback until it is dropped; what it says first tells where.
struct Peer {
    says: String,
    child: Child,
}

// === impl Story ===

impl Story {
    pub(crate) async fn tell(&self, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let site = ["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"];
        let site = Peer::start(Command::new("python3").args(site).arg(root.join("examples/site")))?;
        // "Serving HTTP on 127.0.0.1 port 43210 (http://127.0.0.1:43210/) ..."
        let website = site.says.split(['(', ')']).nth(1).context("the port of the website")?;
        let mail = self.folder.join("mail");
        let sink = Peer::start(Command::new(&self.python).arg(root.join("examples/demo/sink.py")).arg(&mail))?;
        let port: i32 = sink.says.trim().parse().context("the port of the mail server")?;
        let server = Server::start(&self.folder.join("data")).await?;
        say(&format!(
            "The example website is at {website}, a mail server at 127.0.0.1:{port}, Herald at {}.",
            server.url
        ));
        say(
            "Two tenants, each with the prospects of examples/prospects.csv, run a campaign at once over SMTP, each from a mailbox of its",
        );
        say("own that pauses for up to a second between two mails; by itself it would for one to three minutes.");

        let bars = MultiProgress::new();
        let campaigns = TENANTS.map(|(user, name, address, template)| {
            let args = RunArgs {
                website: website.to_owned(),
                prospects: Some(root.join("examples/prospects.csv")),
                template: Some(template.to_owned()),
                approve_all: true,
                max_prospects: self.letters,
                // At most two of a company, and nobody again within ninety days, as it is by itself.
                recipients: Rules { max_per_company: 2, ..Rules::default() },
                ..RunArgs::default()
            };
            let progress = Progress::new(user, &bars);
            let server = server.url.clone();
            async move {
                let connection = Connection { user: Some(user.to_owned()), ..Connection::to(server) };
                let mut api = connection.open().await?;
                introduce(&mut api, name, address, port).await?;
                let campaign = run(&mut api, &args, &progress).await?;
                anyhow::Ok(Tenant { user, address, api, campaign })
            }
        });
        let [mut anna, mut ben] = futures_util::future::try_join_all(campaigns)
            .await?
            .try_into()
            .map_err(|_| anyhow::anyhow!("two tenants were started"))?;
        say("");
        for tenant in [&mut anna, &mut ben] {
            tenant.show(&letters(&mail)?, say).await?;
        }

        let sent = letters(&mail)?;
        let mut english = sent.iter().filter(|letter| letter.from == anna.address && letter.body.starts_with("Dear "));
        let letter = english.next().context("a letter of user_a in English")?;
        say("\nA letter, as the mail server has it:\n");
        letter.show(say);
        let said = unsubscribe(&letter.unsubscribe).await?;
        say(&format!("Its reader follows the link, and {} is told: {said}", letter.to));
        anna.leaves_out(&letter.to, website, &bars, say).await?;
        let again = letters(&mail)?;
        ensure!(to(&again, &anna, &letter.to) == to(&sent, &anna, &letter.to), "{} was written to again", letter.to);
        ensure!(again.len() > sent.len(), "others are written to");
        say(&format!("The mail server has {} letters in all, and no other one to {}.", again.len(), letter.to));

        say("");
        anna.cannot_see(&mut ben, say).await?;
        ben.cannot_see(&mut anna, say).await?;
        say(&format!("\nThe letters are in {}; open one in a mail program.", mail.display()));
        server.stop().await
    }
}

/// Who writes the tenant's letters, and from where.
async fn introduce(api: &mut Api, name: &str, address: &str, port: i32) -> anyhow::Result<()> {
    let sender = pb::Sender { name: name.to_owned(), ..Default::default() };
    let config = pb::AgentConfig { sender: Some(sender), ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), ..Default::default() };
    api.agent.update_agent_config(request).await?;
    let time = |hours| Some(pb::TimeOfDay { hours, minutes: 0 });
    let mailbox = pb::Mailbox {
        display_name: name.to_owned(),
        address: address.to_owned(),
        postal_address: "Fernwick Instruments, 4 Weir Lane, Exeter EX2 8AB, United Kingdom".to_owned(),
        smtp: Some(pb::SmtpServer {
            host: "127.0.0.1".to_owned(),
            port,
            // To this machine alone.
            security: pb::SmtpSecurity::None.into(),
            ..Default::default()
        }),
        // In place of 30 mails a day, one to three minutes apart, from Monday to Friday, 9 to 17.
        pace: Some(pb::Pace {
            max_emails_per_hour: Some(1_000),
            max_emails_per_day: Some(1_000),
            min_pause_seconds: Some(0),
            max_pause_seconds: Some(1),
            ..Default::default()
        }),
        calendar: Some(pb::Calendar {
            days: (1..=7).collect(),
            hours: Some(pb::WorkingHours { start: time(0), end: time(24) }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = pb::CreateMailboxRequest { mailbox: Some(mailbox), ..Default::default() };
    api.mailbox.create_mailbox(request).await?;
    Ok(())
}

async fn run(api: &mut Api, args: &RunArgs, progress: &Progress) -> anyhow::Result<pb::Campaign> {
    let campaign = run_campaign(api, args, progress).await?.campaign;
    progress.finish();
    let state = campaign.state();
    ensure!(state == pb::CampaignState::Completed, "a campaign has ended as {}", state.as_str_name());
    Ok(campaign)
}

/// What the mail server has, in the order in which it came.
fn letters(folder: &Path) -> anyhow::Result<Vec<Letter>> {
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    files.iter().map(|file| Letter::read(&std::fs::read(file.path())?)).collect()
}

/// How many of them went from the tenant to that address.
fn to(letters: &[Letter], tenant: &Tenant, address: &str) -> usize {
    letters.iter().filter(|letter| letter.from == tenant.address && letter.to == address).count()
}

/// Does what a mail program does whose reader wants no more (RFC 8058); what the page says that a browser would show.
async fn unsubscribe(link: &str) -> anyhow::Result<String> {
    // There may be one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let request = reqwest::Client::new().post(link).body("List-Unsubscribe=One-Click");
    let page = request.send().await?.error_for_status()?.text().await?;
    let title = page.split("<title>").nth(1).and_then(|rest| rest.split('<').next());
    Ok(title.context("a page with a title")?.to_owned())
}

// === impl Tenant ===

impl Tenant {
    async fn show(&mut self, letters: &[Letter], say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
        let request = pb::GetWorkflowResultsRequest { campaign_id: self.campaign.id.clone() };
        let results = self.api.workflow.get_workflow_results(request).await?.into_inner();
        let analysis = results.analysis.unwrap_or_default();
        let own: Vec<_> = letters.iter().filter(|letter| letter.from == self.address).collect();
        let said = self.campaign.emails.unwrap_or_default().sent;
        let (ids, readers): (HashSet<_>, HashSet<_>) = own.iter().map(|l| (&l.message_id, &l.to)).unzip();
        let each_once = ids.len() == own.len() && readers.len() == own.len();
        ensure!(
            each_once && i32::try_from(own.len())? == said,
            "{} sent {said}: the server has {}",
            self.user,
            own.len()
        );
        say(&format!("{}: {}, {}", self.user, analysis.business_name, analysis.industry));
        say(&format!("  {said} letters are with the mail server, each once"));
        say("  its best prospects:");
        for prospect in results.prospects.iter().take(3) {
            say(&format!("  {:>3}  {:<40} {}", prospect.score, prospect.email, prospect.reasons.join("; ")));
        }
        Ok(())
    }

    /// Runs a campaign to that address and two others whom it has written to.
    async fn leaves_out(
        &mut self,
        address: &str,
        website: &str,
        bars: &MultiProgress,
        say: &(dyn Fn(&str) + Sync),
    ) -> anyhow::Result<()> {
        let request = pb::ListRecipientsRequest { campaign_id: self.campaign.id.clone(), ..Default::default() };
        let recipients = self.api.workflow.list_recipients(request).await?.into_inner().recipients;
        let recipients = recipients.into_iter().filter_map(|recipient| recipient.prospect);
        let (of, others): (Vec<_>, Vec<_>) = recipients.partition(|prospect| prospect.email == address);
        let chosen: Vec<_> = of.into_iter().chain(others.into_iter().take(2)).map(|p| p.prospect_id).collect();
        let rules = Rules { prospect: chosen.clone(), not_again_days: Some(0), ..Rules::default() };
        let request = pb::PreviewRecipientsRequest {
            recipients: Some(pb::RecipientRules {
                prospect_ids: chosen,
                not_again_days: Some(0),
                ..Default::default()
            }),
            ..Default::default()
        };
        let preview = self.api.workflow.preview_recipients(request).await?.into_inner();
        let why = preview.left_out.iter().find(|of| of.examples.iter().any(|example| example == address));
        let why = why.with_context(|| format!("{address} is not left out"))?.reason();
        say(&format!("{} runs another campaign, to this reader and two others:", self.user));
        let args = RunArgs {
            website: website.to_owned(),
            template: Some("consultative_sales".to_owned()),
            approve_all: true,
            recipients: rules,
            ..RunArgs::default()
        };
        let campaign = run(&mut self.api, &args, &Progress::new(self.user, bars)).await?;
        let sent = campaign.emails.unwrap_or_default().sent;
        ensure!(sent == 2, "{sent} letters were sent, and not to the two others");
        let why = why.as_str_name().trim_start_matches("LEFT_OUT_REASON_").to_lowercase();
        say(&format!("  {sent} letters; left out: {address}, {why}"));
        Ok(())
    }

    /// Asks for everything of the other's that has an id; the answer must be the one for what does not exist.
    async fn cannot_see(&mut self, other: &mut Self, say: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
        let all = pb::ListProspectsRequest { page_size: 100, ..Default::default() };
        let theirs = other.api.agent.list_prospects(all.clone()).await?.into_inner().prospects;
        let own = self.api.agent.list_prospects(all).await?.into_inner().prospects;
        for prospect in &theirs {
            ensure!(own.iter().all(|p| p.id != prospect.id), "{} lists a prospect of {}", self.user, other.user);
            let request = pb::GetProspectRequest { prospect_id: prospect.id.clone(), view: 0 };
            not_found(self.api.agent.get_prospect(request).await)?;
        }
        let request = pb::GetWorkflowRequest { campaign_id: other.campaign.id.clone() };
        not_found(self.api.workflow.get_workflow(request).await)?;
        let what = format!("the campaign and the {} prospects of {}", theirs.len(), other.user);
        say(&format!("{} asked for {what}, and got NOT_FOUND each time.", self.user));
        Ok(())
    }
}

fn not_found<T>(answer: Result<T, tonic::Status>) -> anyhow::Result<()> {
    match answer {
        Err(status) if status.code() == Code::NotFound => Ok(()),
        Err(status) => bail!("expected NOT_FOUND and got {status}"),
        Ok(_) => bail!("expected NOT_FOUND and got an answer"),
    }
}

// === impl Letter ===

impl Letter {
    fn read(raw: &[u8]) -> anyhow::Result<Self> {
        let mail = MessageParser::default().parse(raw).context("a letter")?;
        let address = |list: Option<&mail_parser::Address<'_>>| {
            list.and_then(|list| list.first()?.address().map(str::to_owned)).unwrap_or_default()
        };
        let header = mail.header_raw("List-Unsubscribe").unwrap_or_default();
        let link = header.split(['<', '>']).find(|part| part.starts_with("http"));
        Ok(Self {
            from: address(mail.from()),
            to: address(mail.to()),
            message_id: mail.message_id().unwrap_or_default().to_owned(),
            subject: mail.subject().unwrap_or_default().to_owned(),
            unsubscribe: link.context("a link to unsubscribe")?.to_owned(),
            body: mail.body_text(0).unwrap_or_default().into_owned(),
        })
    }

    fn show(&self, say: &(dyn Fn(&str) + Sync)) {
        let Self { from, to, subject, unsubscribe, body, .. } = self;
        say(&format!("  From: {from}\n  To: {to}\n  Subject: {subject}\n  List-Unsubscribe: <{unsubscribe}>\n"));
        body.lines().for_each(|line| say(format!("  {line}").trim_end()));
        say("");
    }
}

// === impl Server ===

impl Server {
    async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut config = Config { dev: true, data_dir: data_dir.to_owned(), ..Config::default() };
        // The example website and the mail server are on loopback, where a server may not look unless it is told to.
        config.fetch.allow_private = true;
        config.mail.allow_private = true;
        config.server.public_url.clone_from(&url);
        let stop = CancellationToken::new();
        let (ready, is_ready) = oneshot::channel();
        let until = stop.clone();
        let ended =
            tokio::spawn(
                async move { app::run(config, Seams::default(), listener, until, |_| _ = ready.send(())).await },
            );
        if is_ready.await.is_err() {
            ended.await??;
            bail!("the server ended before it was ready");
        }
        Ok(Self { url, stop, ended })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.ended.await??)
    }
}

// === impl Peer ===

impl Peer {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let started = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let child = started.with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let mut peer = Self { says: String::new(), child };
        let output = peer.child.stdout.take().context("its output")?;
        BufReader::new(output).read_line(&mut peer.says)?;
        Ok(peer)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
