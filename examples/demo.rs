//! What `make demo` runs: a server on its embedded defaults, and the example campaign for two tenants at once.
//!
//! Everything stays on loopback: the example website is served by Python, the server picks a free port, and the e-mails
//! are written to files. At the end it shows what each tenant has, and that neither can see the other's.
#![expect(clippy::print_stdout, reason = "it shows what its own website and prospects say")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use herald::app::{self, Seams};
use herald::cli::{Api, Connection, Progress, Rules, RunArgs, run_campaign};
use herald::config::Config;
use herald::pb;
use indicatif::MultiProgress;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tonic::Code;

/// The tenants, what each is called in its e-mails, and the template that each chose.
const TENANTS: [(&str, &str, &str); 2] =
    [("user_a", "Anna Fernwick", "professional_partnership"), ("user_b", "Ben Fernwick", "modern_tech")];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data_dir = root.join("target/demo");
    if data_dir.exists() {
        std::fs::remove_dir_all(&data_dir).context("cannot remove the last demo's data")?;
    }
    let site = Site::serve(&root.join("examples/site"))?;
    let server = Server::start(&data_dir).await?;
    println!("The example website is at {}, Herald at {}.", site.url, server.url);
    println!("Two tenants, each with the prospects of examples/prospects.csv, run a campaign at once:\n");

    let bars = MultiProgress::new();
    let campaigns = TENANTS.map(|(user, sender, template)| {
        let args = RunArgs {
            website: site.url.clone(),
            prospects: Some(root.join("examples/prospects.csv")),
            template: Some(template.to_owned()),
            approve_all: true,
            // At most two of a company, and nobody again within ninety days, as it is by itself.
            recipients: Rules { max_per_company: 2, ..Rules::default() },
            ..RunArgs::default()
        };
        let progress = Progress::new(user, &bars);
        let (server, data_dir) = (server.url.clone(), &data_dir);
        async move {
            let mut api = connect(&server, user).await?;
            introduce(&mut api, sender).await?;
            let outcome = run_campaign(&mut api, &args, &progress).await?;
            progress.finish();
            Tenant { user, api, campaign: outcome.campaign, outbox: data_dir.join("users").join(user).join("outbox") }
                .check()
        }
    });
    let mut tenants = futures_util::future::try_join_all(campaigns).await?;

    println!();
    for tenant in &mut tenants {
        tenant.show().await?;
    }
    let [a, b] = &mut tenants[..] else { bail!("two tenants were started") };
    a.cannot_see(b).await?;
    b.cannot_see(a).await?;
    println!("\nThe e-mails are in {}; open one in a mail program.", data_dir.join("users").display());
    server.stop().await
}

async fn connect(server: &str, user: &str) -> anyhow::Result<Api> {
    Connection { user: Some(user.to_owned()), ..Connection::to(server.to_owned()) }.open().await
}

/// Who writes the tenant's e-mails.
async fn introduce(api: &mut Api, name: &str) -> anyhow::Result<()> {
    let sender = pb::Sender { name: name.to_owned(), ..Default::default() };
    let config = pb::AgentConfig { sender: Some(sender), ..Default::default() };
    let request = pb::UpdateAgentConfigRequest { config: Some(config), ..Default::default() };
    api.agent.update_agent_config(request).await?;
    let (address, kind) = ("hello@fernwick.example".to_owned(), pb::MailboxKind::Outbox.into());
    let mailbox = pb::Mailbox { address, kind, ..Default::default() };
    let request = pb::CreateMailboxRequest { mailbox: Some(mailbox), ..Default::default() };
    api.mailbox.create_mailbox(request).await?;
    Ok(())
}

struct Tenant {
    user: &'static str,
    api: Api,
    campaign: pb::Campaign,
    outbox: PathBuf,
}

impl Tenant {
    fn check(self) -> anyhow::Result<Self> {
        if self.campaign.state() != pb::CampaignState::Completed {
            bail!("the campaign of {} ended as {}", self.user, self.campaign.state().as_str_name());
        }
        Ok(self)
    }

    async fn show(&mut self) -> anyhow::Result<()> {
        let request = pb::GetWorkflowResultsRequest { campaign_id: self.campaign.id.clone() };
        let results = self.api.workflow.get_workflow_results(request).await?.into_inner();
        let analysis = results.analysis.unwrap_or_default();
        let files = std::fs::read_dir(&self.outbox).context("the outbox")?.count();
        println!("{}: {}, {}", self.user, analysis.business_name, analysis.industry);
        let preview = pb::PreviewRecipientsRequest::default();
        let preview = self.api.workflow.preview_recipients(preview).await?.into_inner();
        let left_out: i32 = preview.left_out.iter().map(|of| of.count).sum();
        println!(
            "  {files} e-mails in its outbox; a campaign after it would leave out {left_out}: they were written to"
        );
        println!("  its best prospects:");
        for prospect in results.prospects.iter().take(3) {
            println!("  {:>3}  {:<40} {}", prospect.score, prospect.email, prospect.reasons.join("; "));
        }
        Ok(())
    }

    /// Asks for everything of the other's that has an id; the answer must be the one for what does not exist.
    async fn cannot_see(&mut self, other: &mut Self) -> anyhow::Result<()> {
        let all = pb::ListProspectsRequest { page_size: 100, ..Default::default() };
        let theirs = other.api.agent.list_prospects(all.clone()).await?.into_inner().prospects;
        let own = self.api.agent.list_prospects(all).await?.into_inner().prospects;
        let mut refused = 0;
        for prospect in &theirs {
            if own.iter().any(|p| p.id == prospect.id) {
                bail!("{} lists a prospect of {}", self.user, other.user);
            }
            let request = pb::GetProspectRequest { prospect_id: prospect.id.clone(), view: 0 };
            not_found(self.api.agent.get_prospect(request).await)?;
            refused += 1;
        }
        let request = pb::GetWorkflowRequest { campaign_id: other.campaign.id.clone() };
        not_found(self.api.workflow.get_workflow(request).await)?;
        let what = format!("the campaign and the {refused} prospects of {}", other.user);
        println!("{} asked for {what}, and got NOT_FOUND each time.", self.user);
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

/// Herald, in this process.
struct Server {
    url: String,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), app::AppError>>,
}

impl Server {
    async fn start(data_dir: &Path) -> anyhow::Result<Self> {
        let mut config = Config { dev: true, data_dir: data_dir.to_owned(), ..Config::default() };
        // The example website is on loopback, where a server may not look unless it is told to.
        config.fetch.allow_private = true;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let url = format!("http://{}", listener.local_addr()?);
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

/// The example website, served on loopback until it is dropped.
struct Site {
    url: String,
    child: Child,
}

impl Site {
    fn serve(folder: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"]).arg(folder);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot run python3")?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
        // "Serving HTTP on 127.0.0.1 port 43210 (http://127.0.0.1:43210/) ..."
        let url = line.split(['(', ')']).nth(1).map(str::to_owned);
        let site = Self { url: url.unwrap_or_default(), child };
        if site.url.is_empty() {
            bail!("python3 -m http.server says {line:?}");
        }
        Ok(site)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
