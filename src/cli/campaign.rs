//! `herald campaign …`: a client of a running server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::MultiProgress;
use tonic::{Code, Request, Status};

use super::client::{Api, Connection, explain, reason};
use super::output::to_json;
use super::prospects_csv::{CsvArgs, ProspectsCsv};
use super::recipients::{PreviewArgs, RecipientsArgs, Rules, preview, recipients};
use super::render::Progress;
use super::review::{EmailsArgs, ReviewArgs, emails, review};
use super::words::Word as _;
use crate::pb;
use crate::pb::watch_workflow_response::Update;
use crate::terminal::{line, say};

#[derive(Args)]
pub(super) struct CampaignArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Import prospects, start a campaign and follow it to its end.
    ///
    /// Exits with 3 if the campaign waits for a person: without --template until one is selected, without --approve-all
    /// until its e-mails are reviewed.
    Run(RunArgs),
    /// Show whom a campaign would write to, and who would be left out.
    Preview(PreviewArgs),
    /// List those that a campaign has chosen, the best first, with how well they fit and why.
    Recipients(RecipientsArgs),
    /// Show where a campaign stands.
    Status(One),
    /// Follow a campaign until it ends or waits for a person.
    Watch(One),
    /// Stop a campaign until it is resumed.
    Pause(One),
    /// Go on with a paused campaign, or try again what failed.
    Resume(One),
    /// End a campaign for good.
    Cancel(One),
    /// Show what a campaign has found out and done.
    Results(One),
    /// List the e-mail templates.
    Templates {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Select the template of a campaign that waits for one.
    SelectTemplate {
        /// The template's id; see `herald campaign templates`.
        template: String,
        #[command(flatten)]
        one: One,
    },
    /// List a campaign's e-mails, or show some of them in full.
    Emails(EmailsArgs),
    /// Approve, edit or reject e-mails: those that are named, or on a terminal one after another.
    Review(ReviewArgs),
    /// Approve all e-mails that await approval, without looking at them.
    Approve(One),
}

/// What to run.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// The website to analyse, with http:// or https://; the configuration's if left out.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub website: String,
    /// Prospects to import first: a CSV file with the column email, and any of company, contact_name, position, industry,
    /// location, business_size, source_url, notes, tags (separated by ;), language, by these or other usual names. Checked
    /// whole before anything is imported; addresses that the tenant has already are left as they are.
    #[arg(long, value_name = "FILE.csv")]
    pub prospects: Option<PathBuf>,
    #[command(flatten)]
    pub csv: CsvArgs,
    /// The template to write with; see `herald campaign templates`. Without it the campaign waits for a choice.
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// What the campaign is for.
    #[arg(long)]
    pub goal: Option<pb::CampaignGoal>,
    /// What you want to tell or ask for, in one sentence of your own.
    #[arg(long, value_name = "TEXT")]
    pub goal_detail: Option<String>,
    /// Write to at most so many, the best first.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub max_prospects: i32,
    #[command(flatten)]
    pub recipients: Rules,
    /// Approve every e-mail without looking at it.
    #[arg(long)]
    pub approve_all: bool,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
struct One {
    /// The campaign; the newest if left out.
    #[arg(long, value_name = "ID", default_value = "")]
    campaign: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// Where a followed campaign stopped.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub campaign: pb::Campaign,
}

/// The pauses before a broken stream is opened again.
const RECONNECT: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

pub(super) fn campaign(args: CampaignArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // A bad file is told before a server is needed.
        if let Command::Run(RunArgs { prospects: Some(path), csv, .. }) = &args.command {
            ProspectsCsv::check(path, csv)?;
        }
        let api = args.connection.open().await?;
        dispatch(api, args.command).await
    })
}

async fn dispatch(mut api: Api, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => {
            let progress = Progress::new("", &MultiProgress::new());
            let outcome = run_campaign(&mut api, &args, &progress).await?;
            progress.finish();
            let code = outcome.exit_code();
            show_results(&mut api, outcome.campaign.id, args.json).await?;
            Ok(code)
        }
        Command::Watch(one) => {
            let progress = Progress::new("", &MultiProgress::new());
            let campaign = newest(&mut api, one.campaign).await?;
            let outcome = follow(&mut api, campaign.id, None, false, &progress).await?;
            progress.finish();
            show_campaign(&outcome.campaign, one.json)?;
            Ok(outcome.exit_code())
        }
        Command::Preview(args) => preview(&mut api, args).await,
        Command::Recipients(args) => recipients(&mut api, args).await,
        Command::Results(one) => show_results(&mut api, one.campaign, one.json).await,
        Command::Status(one) => {
            let campaign = newest(&mut api, one.campaign).await?;
            show_campaign(&campaign, one.json)
        }
        Command::Templates { json } => {
            let answer = api.workflow.list_templates(pb::ListTemplatesRequest {}).await.map_err(|s| explain(&s))?;
            show_templates(&answer.into_inner(), json)
        }
        Command::Pause(one) => {
            let request = pb::PauseWorkflowRequest { campaign_id: newest(&mut api, one.campaign).await?.id };
            let answer = api.workflow.pause_workflow(request).await.map_err(|s| explain(&s))?;
            show_campaign(&answer.into_inner().campaign.unwrap_or_default(), one.json)
        }
        Command::Resume(one) => {
            let request = pb::ResumeWorkflowRequest { campaign_id: newest(&mut api, one.campaign).await?.id };
            let answer = api.workflow.resume_workflow(request).await.map_err(|s| explain(&s))?;
            show_campaign(&answer.into_inner().campaign.unwrap_or_default(), one.json)
        }
        Command::Cancel(one) => {
            let request = pb::CancelWorkflowRequest { campaign_id: newest(&mut api, one.campaign).await?.id };
            let answer = api.workflow.cancel_workflow(request).await.map_err(|s| explain(&s))?;
            show_campaign(&answer.into_inner().campaign.unwrap_or_default(), one.json)
        }
        Command::SelectTemplate { template, one } => {
            let campaign_id = newest(&mut api, one.campaign).await?.id;
            let request = pb::SelectTemplateRequest { campaign_id, template_id: template };
            let answer = api.workflow.select_template(request).await.map_err(|s| explain(&s))?;
            show_campaign(&answer.into_inner().campaign.unwrap_or_default(), one.json)
        }
        Command::Emails(args) => emails(&mut api, args).await,
        Command::Review(args) => review(&mut api, args).await,
        Command::Approve(one) => {
            let campaign_id = newest(&mut api, one.campaign).await?.id;
            let campaign = approve_all(&mut api, campaign_id).await.map_err(|s| explain(&s))?;
            show_campaign(&campaign, one.json)
        }
    }
}

/// Imports the prospects, starts the campaign, and follows it until it ends or waits for a person.
pub async fn run_campaign(api: &mut Api, args: &RunArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    if let Some(path) = &args.prospects {
        ProspectsCsv::check(path, &args.csv)?.import(api, progress).await?;
    }
    let request = pb::StartWorkflowRequest {
        website: args.website.clone(),
        goal: args.goal.unwrap_or_default().into(),
        goal_detail: args.goal_detail.clone().unwrap_or_default(),
        template_id: args.template.clone().unwrap_or_default(),
        max_prospects: args.max_prospects,
        recipients: Some(args.recipients.request()),
        ..Default::default()
    };
    let started = api.workflow.start_workflow(request).await.map_err(|s| explain(&s))?.into_inner();
    for note in &started.notes {
        progress.say(&format!("note: {note}"));
    }
    let campaign = started.campaign.unwrap_or_default();
    progress.say(&format!("campaign {} started", campaign.id));
    follow(api, campaign.id, Some(0), args.approve_all, progress).await
}

/// Follows a campaign from the event after `after`, or from now on; opens a stream that breaks again.
async fn follow(
    api: &mut Api,
    campaign_id: String,
    after: Option<i64>,
    approve: bool,
    progress: &Progress,
) -> anyhow::Result<Outcome> {
    let (mut after, mut broken) = (after, 0);
    loop {
        let told = after;
        match follow_once(api, &campaign_id, &mut after, approve, progress).await {
            Ok(Some(outcome)) => return Ok(outcome),
            Ok(None) => {
                let campaign = newest(api, campaign_id).await?;
                return Ok(Outcome { campaign });
            }
            Err(status) if status.code() == Code::Unavailable || reason(&status).is_empty() => {
                if after != told || reason(&status) == "STREAM_EXPIRED" {
                    broken = 0;
                }
                let Some(pause) = RECONNECT.get(broken) else { return Err(explain(&status)) };
                tokio::time::sleep(*pause).await;
                broken += 1;
            }
            Err(status) => return Err(explain(&status)),
        }
    }
}

/// One stream; None if it ended because everything was told.
async fn follow_once(
    api: &mut Api,
    campaign_id: &str,
    after: &mut Option<i64>,
    approve: bool,
    progress: &Progress,
) -> Result<Option<Outcome>, Status> {
    let request = pb::WatchWorkflowRequest { campaign_id: campaign_id.to_owned(), after_seq: *after };
    let mut stream = api.workflow.watch_workflow(Request::new(request)).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let waiting = match message.update {
            Some(Update::Snapshot(campaign)) => {
                progress.snapshot(&campaign);
                *after = Some(campaign.last_seq);
                waits(campaign.state())
            }
            Some(Update::Event(event)) => {
                progress.event(&event);
                *after = Some(event.seq);
                match &event.kind {
                    Some(pb::campaign_event::Kind::StateChanged(change)) => waits(change.to()),
                    _ => false,
                }
            }
            None => false,
        };
        if waiting {
            // History may tell of a wait that is over.
            let request = pb::GetWorkflowRequest { campaign_id: campaign_id.to_owned() };
            let now = api.workflow.get_workflow(request).await?.into_inner().campaign.unwrap_or_default();
            if approve && now.state() == pb::CampaignState::WaitingApproval {
                approve_all(api, campaign_id.to_owned()).await?;
            } else if waits(now.state()) {
                return Ok(Some(Outcome { campaign: now }));
            }
        }
    }
    Ok(None)
}

/// States in which nothing happens until a person acts.
fn waits(state: pb::CampaignState) -> bool {
    use pb::CampaignState::{Paused, WaitingAnalysis, WaitingApproval, WaitingTemplate};
    matches!(state, Paused | WaitingAnalysis | WaitingTemplate | WaitingApproval)
}

async fn approve_all(api: &mut Api, campaign_id: String) -> Result<pb::Campaign, Status> {
    let others = pb::ReviewDecision::Approve.into();
    let request = pb::ReviewEmailsRequest { campaign_id, reviews: Vec::new(), others };
    Ok(api.workflow.review_emails(request).await?.into_inner().campaign.unwrap_or_default())
}

/// The campaign of that id; the newest for an empty one.
async fn newest(api: &mut Api, campaign_id: String) -> anyhow::Result<pb::Campaign> {
    let answer = api.workflow.get_workflow(pb::GetWorkflowRequest { campaign_id }).await.map_err(|s| explain(&s))?;
    Ok(answer.into_inner().campaign.unwrap_or_default())
}

impl Outcome {
    fn exit_code(&self) -> ExitCode {
        match self.campaign.state() {
            pb::CampaignState::Completed => ExitCode::SUCCESS,
            state if waits(state) => ExitCode::from(3),
            _ => ExitCode::FAILURE,
        }
    }
}

fn show_campaign(campaign: &pb::Campaign, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        say!("{}", to_json("herald.v1.Campaign", campaign)?);
    } else {
        say!("{}", describe(campaign));
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_results(api: &mut Api, campaign_id: String, json: bool) -> anyhow::Result<ExitCode> {
    let request = pb::GetWorkflowResultsRequest { campaign_id };
    let results = api.workflow.get_workflow_results(request).await.map_err(|s| explain(&s))?.into_inner();
    if json {
        say!("{}", to_json("herald.v1.GetWorkflowResultsResponse", &results)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("{}", describe(results.campaign.as_ref().unwrap_or(&pb::Campaign::default())));
    if let Some(analysis) = &results.analysis {
        say!("\n{}", line(&analysis.business_name));
        for text in [&analysis.introduction, &analysis.product_type].into_iter().filter(|t| !t.is_empty()) {
            say!("  {}", line(text));
        }
        for point in &analysis.selling_points {
            say!("  - {}", line(point));
        }
        for source in &analysis.sources {
            let place = if source.page.is_empty() { String::new() } else { format!(", {}", source.page) };
            say!("  {}: from {}{}", line(&source.field), line(&source.found_in), line(&place));
        }
    }
    if !results.prospects.is_empty() {
        say!("\nBest prospects");
    }
    for prospect in results.prospects.iter().take(10) {
        let reasons = prospect.reasons.join("; ");
        say!("  {:>3}  {:<32} {}", prospect.score, line(&prospect.email), line(&reasons));
    }
    Ok(ExitCode::SUCCESS)
}

fn show_templates(templates: &pb::ListTemplatesResponse, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        say!("{}", to_json("herald.v1.ListTemplatesResponse", templates)?);
        return Ok(ExitCode::SUCCESS);
    }
    for template in &templates.templates {
        say!("{:<26} {}", line(&template.id), line(&template.description));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(campaign: &pb::Campaign) -> String {
    let mut lines = vec![format!("campaign {} is {}", line(&campaign.id), campaign.state().word())];
    for text in [&campaign.failure, &campaign.hold].into_iter().filter(|t| !t.is_empty()) {
        lines.push(format!("  because: {}", line(text)));
    }
    for field in &campaign.missing_fields {
        lines.push(format!("  missing: {}", line(field)));
    }
    for step in &campaign.steps {
        let row = format!("  {:<16} {:<11} {}", step.id().word(), step.status().word(), line(&step.summary));
        lines.push(row.trim_end().to_owned());
    }
    let next = match campaign.state() {
        pb::CampaignState::WaitingAnalysis => {
            "state the name with `herald config set website_analysis.business_name=NAME`, then `herald campaign resume`"
        }
        pb::CampaignState::WaitingTemplate => "choose one with `herald campaign select-template ID`",
        pb::CampaignState::WaitingApproval => "look at its e-mails and decide on each with `herald campaign review`",
        pb::CampaignState::Paused => "go on with `herald campaign resume`",
        pb::CampaignState::Failed => "try again with `herald campaign resume`",
        _ => "",
    };
    if !next.is_empty() {
        lines.push(format!("next: {next}"));
    }
    lines.join("\n")
}
