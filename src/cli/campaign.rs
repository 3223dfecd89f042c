//! `herald campaign …`: a client of a running server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, Subcommand};
use indicatif::MultiProgress;
use prost::{Message, Name};
use tonic::{Code, Request, Status};

use super::bounces::{BounceArgs, ComplaintArgs, bounce, complaint};
use super::client::{Api, Connection};
use super::given::pasteable_for;
use super::input::Source;
use super::mailboxes;
use super::output::{Json, say_json, say_list, table};
use super::pages;
use super::prospects_csv::{CsvArgs, ProspectsCsv};
use super::recipients::{PreviewArgs, RecipientsArgs, Rules, preview, reasons, recipients};
use super::refusal::{NO_TEMPLATE, explain, explain_with, reason};
use super::render::{Progress, step_lines};
use super::retry::{ResolveArgs, RetryArgs, resolve, retry};
use super::review::{EmailsArgs, ReviewArgs, emails, review};
use super::test_letter::{TestArgs, test};
use super::which::{list_live, meant, newest, resumed};
use super::words::Word as _;
use crate::domain::recipients::LeftOut;
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
    /// List the campaigns, the newest first.
    List(ListArgs),
    /// Show where a campaign stands.
    Status(One),
    /// Follow a campaign until it ends or waits for a person.
    Watch(Watch),
    /// Stop a campaign until it is resumed.
    Pause(One),
    /// Go on with a paused campaign, or try again what failed.
    Resume(One),
    /// End a campaign for good.
    Cancel(One),
    /// Show what a campaign has found out and done.
    Results(One),
    /// Select the template of a campaign that waits for one.
    SelectTemplate {
        /// The template's id; see `herald templates list`.
        template: String,
        #[command(flatten)]
        one: One,
    },
    /// List a campaign's e-mails, or show some of them in full.
    Emails(EmailsArgs),
    /// Approve, edit or reject e-mails: those that are named, or on a terminal one after another.
    Review(ReviewArgs),
    /// Send e-mails again that have failed; a completed campaign is running again.
    Retry(RetryArgs),
    /// Say of e-mails that may have been sent (`unknown`) whether they were.
    Resolve(ResolveArgs),
    /// Send a letter that a campaign would send to the mailbox's own address; exits with 1 if its server does not take it.
    Test(TestArgs),
    /// Approve all e-mails that await approval, without looking at them.
    Approve(One),
    /// Record that an e-mail was not delivered. If that is for good, its recipient is never written to again, unless the status
    /// blames the sender.
    Bounce(BounceArgs),
    /// Record that the recipient of an e-mail has complained about it, and is never to be written to again.
    Complaint(ComplaintArgs),
}

/// What to run.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// The website to analyse, with http:// or https://; the configuration's if left out.
    #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
    pub website: String,
    /// Prospects to import first: a CSV file (- is standard input) with the column email, and any of company, contact_name, position, industry,
    /// location, business_size, source_url, notes, tags (separated by ;), language, by these or other usual names. Checked
    /// whole before anything is imported; addresses that the tenant has already are left as they are.
    #[arg(long, value_name = "FILE.csv")]
    pub prospects: Option<PathBuf>,
    #[command(flatten)]
    pub csv: CsvArgs,
    /// The template to write with; see `herald templates list`. Without it the campaign waits for a choice.
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// Send from this mailbox, by its id or address, and not from all that are enabled. May be given more than once.
    #[arg(long = "mailbox", value_name = "MAILBOX")]
    pub mailboxes: Vec<String>,
    /// What the campaign is for.
    #[arg(long)]
    pub goal: Option<pb::CampaignGoal>,
    /// What you want to tell or ask for, in one sentence of your own.
    #[arg(long, value_name = "TEXT")]
    pub goal_detail: Option<String>,
    /// Write to at most so many, the best first; 10,000 if left out.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub max_prospects: i32,
    #[command(flatten)]
    pub recipients: Rules,
    /// Approve every e-mail without looking at it.
    #[arg(long)]
    pub approve_all: bool,
    /// Print the campaign as it is started, and then each of its events, as a line of JSON; `herald campaign results --json`
    /// prints the results.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
struct Watch {
    /// The campaign; the newest if left out.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    /// Print the campaign as it is, and then each of its events, as a line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ListArgs {
    /// Only those in these states, such as running or waiting-approval; several with commas between.
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    state: Vec<pb::CampaignState>,
    /// At most so many; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    form: Json,
}

#[derive(Args)]
struct One {
    /// The campaign; the newest if left out, unless another one is live and it is to be changed.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    #[command(flatten)]
    form: Json,
}

/// Where a followed campaign stopped.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub campaign: pb::Campaign,
}

/// The campaigns of a page.
const MAX_PAGE: usize = 100;
/// The rows of the best prospects, and how many that are alike are shown.
const BEST: usize = 10;
const EXAMPLES: usize = 3;

/// The pauses before a broken stream is opened again.
const RECONNECT: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

pub(super) fn campaign(mut args: CampaignArgs) -> anyhow::Result<ExitCode> {
    // Kept until the campaign has been run.
    let mut _source = None;
    if let Command::Run(RunArgs { prospects: Some(path), csv, .. }) = &mut args.command {
        let source = Source::of(path)?;
        // A bad file is told before a server is needed.
        ProspectsCsv::check(&source, csv)?;
        path.clone_from(&source.path);
        _source = Some(source);
    }
    args.connection.run(async |api| dispatch(api, args.command).await)
}

async fn dispatch(mut api: Api, command: Command) -> anyhow::Result<ExitCode> {
    let api = &mut api;
    match command {
        Command::Run(args) => {
            let progress = if args.json { Progress::json() } else { Progress::new("", &MultiProgress::new()) };
            let outcome = run_campaign(api, &args, &progress).await?;
            progress.finish();
            if !args.json {
                show_results(api, outcome.campaign.id.clone(), Json::default()).await?;
            }
            Ok(outcome.exit_code())
        }
        Command::Watch(args) => {
            let progress = if args.json { Progress::json() } else { Progress::new("", &MultiProgress::new()) };
            let campaign = newest(api, args.campaign).await?;
            let outcome = follow(api, campaign.id, None, OnWait::Look, &progress).await?;
            progress.finish();
            if !args.json {
                say!("{}", describe(&outcome.campaign, None));
            }
            Ok(outcome.exit_code())
        }
        Command::Preview(args) => preview(api, args).await,
        Command::Recipients(args) => recipients(api, args).await,
        Command::Results(one) => show_results(api, one.campaign, one.form).await,
        Command::List(args) => list(api, args).await,
        Command::Status(one) => {
            let request = pb::GetWorkflowRequest { campaign_id: one.campaign };
            let answer = api.workflow.get_workflow(request).await.map_err(|s| explain(&s))?.into_inner();
            if one.form.json {
                return say_json(&answer);
            }
            say!("{}", describe(&answer.campaign.unwrap_or_default(), answer.sending.as_ref()));
            Ok(ExitCode::SUCCESS)
        }
        Command::Pause(one) => {
            let request = pb::PauseWorkflowRequest { campaign_id: meant(api, one.campaign).await? };
            let answer = api.workflow.pause_workflow(request).await.map_err(|s| explain(&s))?.into_inner();
            show(one.form, &answer, answer.campaign.as_ref())
        }
        Command::Resume(one) => {
            let request = pb::ResumeWorkflowRequest { campaign_id: resumed(api, one.campaign).await? };
            let answer = api.workflow.resume_workflow(request).await.map_err(|s| explain(&s))?.into_inner();
            show(one.form, &answer, answer.campaign.as_ref())
        }
        Command::Cancel(one) => {
            let request = pb::CancelWorkflowRequest { campaign_id: meant(api, one.campaign).await? };
            let answer = api.workflow.cancel_workflow(request).await.map_err(|s| explain(&s))?.into_inner();
            show(one.form, &answer, answer.campaign.as_ref())
        }
        Command::SelectTemplate { template, one } => {
            let campaign_id = meant(api, one.campaign).await?;
            let request = pb::SelectTemplateRequest { campaign_id, template_id: template };
            let answer = api.workflow.select_template(request).await.map_err(|s| explain(&s))?.into_inner();
            show(one.form, &answer, answer.campaign.as_ref())
        }
        Command::Emails(args) => emails(api, args).await,
        Command::Review(args) => review(api, args).await,
        Command::Retry(args) => retry(api, args).await,
        Command::Resolve(args) => resolve(api, args).await,
        Command::Test(args) => test(api, args).await,
        Command::Approve(one) => {
            let campaign_id = meant(api, one.campaign).await?;
            let answer = approve_all(api, campaign_id).await.map_err(|s| explain(&s))?;
            show(one.form, &answer, answer.campaign.as_ref())
        }
        Command::Bounce(args) => bounce(api, args).await,
        Command::Complaint(args) => complaint(api, args).await,
    }
}

async fn list(api: &mut Api, args: ListArgs) -> anyhow::Result<ExitCode> {
    let states: Vec<_> = args.state.iter().map(|state| i32::from(*state)).collect();
    let page = async |page_size, page_token| {
        let request = pb::ListWorkflowsRequest { page_size, page_token, states: states.clone() };
        let page = api.workflow.list_workflows(request).await.map_err(|s| explain(&s))?.into_inner();
        Ok((page.campaigns, page.next_page_token))
    };
    let (campaigns, next_page_token) = pages::rows(args.limit, MAX_PAGE, page).await?;
    let found = pb::ListWorkflowsResponse { campaigns, next_page_token };
    if args.form.json {
        return say_json(&found);
    }
    let row = |campaign: &pb::Campaign| {
        let settings = campaign.settings.clone().unwrap_or_default();
        let emails = campaign.emails.unwrap_or_default();
        // To the second.
        let started = campaign.create_time.map(|time| prost_types::Timestamp { nanos: 0, ..time }.to_string());
        [
            campaign.id.clone(),
            campaign.state().word(),
            campaign.current_step().word(),
            started.unwrap_or_default(),
            settings.template_id,
            campaign.prospect_count.to_string(),
            emails.generated.to_string(),
            emails.sent.to_string(),
            settings.website,
        ]
    };
    let rows: Vec<_> = found.campaigns.iter().map(row).collect();
    let header = ["id", "state", "step", "started", "template", "prospects", "e-mails", "sent", "website"];
    say_list("campaigns", header, &rows);
    pages::tell_rest(&found.next_page_token);
    Ok(ExitCode::SUCCESS)
}

/// Imports the prospects, starts the campaign, and follows it until it ends or waits for a person.
pub async fn run_campaign(api: &mut Api, args: &RunArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let mut mailbox_ids = Vec::new();
    for mailbox in &args.mailboxes {
        mailbox_ids.push(mailboxes::id(api, mailbox).await?);
    }
    if let Some(path) = &args.prospects {
        // What is known to be refused is told before anything is imported.
        if let Some(id) = args.template.as_ref().filter(|id| !id.is_empty()) {
            let templates = api.workflow.list_templates(pb::ListTemplatesRequest {}).await.map_err(|s| explain(&s))?;
            if templates.into_inner().templates.iter().all(|template| template.id != *id) {
                bail!("{NO_TEMPLATE} [TEMPLATE_NOT_FOUND]");
            }
        }
        ProspectsCsv::check(&Source::of(path)?, &args.csv)?.import(api, progress).await?;
    }
    let request = pb::StartWorkflowRequest {
        website: args.website.clone(),
        goal: args.goal.unwrap_or_default().into(),
        goal_detail: args.goal_detail.clone().unwrap_or_default(),
        template_id: args.template.clone().unwrap_or_default(),
        max_prospects: args.max_prospects,
        recipients: Some(args.recipients.request()),
        mailbox_ids,
        ..Default::default()
    };
    let started = api.workflow.start_workflow(request).await;
    if started.is_err() && args.prospects.is_some() {
        progress.say("the imported prospects stay: the next start needs no --prospects");
    }
    let started = started.map_err(|s| explain(&s))?.into_inner();
    for note in &started.notes {
        progress.say(&format!("note: {note}"));
    }
    let campaign = started.campaign.unwrap_or_default();
    progress.started(&campaign)?;
    let id = campaign.id;
    let on_wait = if args.approve_all { OnWait::Approve } else { OnWait::Leave };
    let followed = tokio::select! {
        followed = follow(api, id.clone(), Some(campaign.last_seq), on_wait, progress) => followed,
        _ = tokio::signal::ctrl_c() => {
            Err(anyhow!("interrupted; the campaign goes on, and `herald campaign watch --campaign {id}` follows it"))
        }
    };
    if args.approve_all && followed.is_err() {
        let told = "--approve-all ends here: its e-mails will wait for `herald campaign approve`";
        progress.finish();
        progress.say(&pasteable_for(&id, told));
    }
    followed
}

/// What becomes of a campaign that waits for a person.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnWait {
    /// Its e-mails are approved.
    Approve,
    /// It is left as it is.
    Leave,
    /// The same, unless it goes on at once, as it does where somebody else approves.
    Look,
}

/// How long that may take.
const LOOK: Duration = Duration::from_secs(1);

/// Follows a campaign from the event after `after`, or from now on; opens a stream that breaks again.
async fn follow(
    api: &mut Api,
    campaign_id: String,
    after: Option<i64>,
    on_wait: OnWait,
    progress: &Progress,
) -> anyhow::Result<Outcome> {
    let (mut after, mut broken) = (after, 0);
    loop {
        let told = after;
        let status = match follow_once(api, &campaign_id, &mut after, on_wait, progress).await {
            Ok(Some(outcome)) => return Ok(outcome),
            Ok(None) => return Ok(Outcome { campaign: newest(api, campaign_id).await? }),
            Err(error) => error.downcast::<Status>()?,
        };
        if status.code() != Code::Unavailable && !reason(&status).is_empty() {
            return Err(explain(&status));
        }
        if after != told || reason(&status) == "STREAM_EXPIRED" {
            broken = 0;
        }
        let Some(pause) = RECONNECT.get(broken) else {
            let then = format!(
                "The campaign goes on as soon as the server is back; `herald campaign watch --campaign {campaign_id}` \
                 follows it from there."
            );
            return Err(explain_with(&status, then).context("the server went away"));
        };
        if broken == 1 {
            progress.say("the server went away; trying to reach it again");
        }
        tokio::time::sleep(*pause).await;
        broken += 1;
    }
}

/// One stream; None if it ended because everything was told.
async fn follow_once(
    api: &mut Api,
    campaign_id: &str,
    after: &mut Option<i64>,
    on_wait: OnWait,
    progress: &Progress,
) -> anyhow::Result<Option<Outcome>> {
    let request = pb::WatchWorkflowRequest { campaign_id: campaign_id.to_owned(), after_seq: *after };
    let mut stream = api.workflow.watch_workflow(Request::new(request)).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let waiting = match message.update {
            Some(Update::Snapshot(campaign)) => {
                progress.snapshot(&campaign)?;
                *after = Some(campaign.last_seq);
                waits(campaign.state())
            }
            Some(Update::Event(event)) => {
                progress.event(&event)?;
                *after = Some(event.seq);
                match &event.kind {
                    Some(pb::campaign_event::Kind::StateChanged(change)) => waits(change.to()),
                    _ => false,
                }
            }
            Some(Update::Heartbeat(_)) | None => false,
        };
        if waiting {
            // History may tell of a wait that is over.
            let request = || pb::GetWorkflowRequest { campaign_id: campaign_id.to_owned() };
            let mut now = api.workflow.get_workflow(request()).await?.into_inner().campaign.unwrap_or_default();
            if on_wait == OnWait::Look && waits(now.state()) {
                tokio::time::sleep(LOOK).await;
                now = api.workflow.get_workflow(request()).await?.into_inner().campaign.unwrap_or_default();
            }
            if on_wait == OnWait::Approve && now.state() == pb::CampaignState::WaitingApproval {
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

async fn approve_all(api: &mut Api, campaign_id: String) -> Result<pb::ReviewEmailsResponse, Status> {
    let others = pb::ReviewDecision::Approve.into();
    let request = pb::ReviewEmailsRequest { campaign_id, reviews: Vec::new(), others };
    Ok(api.workflow.review_emails(request).await?.into_inner())
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

fn show<M: Message + Name>(form: Json, answer: &M, campaign: Option<&pb::Campaign>) -> anyhow::Result<ExitCode> {
    if form.json {
        return say_json(answer);
    }
    say!("{}", describe(campaign.unwrap_or(&pb::Campaign::default()), None));
    Ok(ExitCode::SUCCESS)
}

async fn show_results(api: &mut Api, campaign_id: String, form: Json) -> anyhow::Result<ExitCode> {
    let request = pb::GetWorkflowResultsRequest { campaign_id };
    let results = api.workflow.get_workflow_results(request).await.map_err(|s| explain(&s))?.into_inner();
    if form.json {
        return say_json(&results);
    }
    let campaign = results.campaign.unwrap_or_default();
    say!("{}", stands(&campaign).join("\n"));
    if let Some(analysis) = &results.analysis {
        say!("\n{}", line(&analysis.business_name));
        for text in [&analysis.introduction, &analysis.product_type].into_iter().filter(|t| !t.is_empty()) {
            say!("  {}", line(text));
        }
        for point in &analysis.selling_points {
            say!("  - {}", line(point));
        }
        for row in sources(&analysis.sources) {
            say!("  {}", line(&row));
        }
    }
    if !results.prospects.is_empty() {
        let (best, count) = (best(&results.prospects), results.prospects.len());
        say!("\nBest prospects\n{}", table(["score", "email", "reasons"], &best));
        if best.len() < count {
            let all = pasteable_for(&line(&campaign.id), "`herald campaign recipients --limit 0`");
            say!("all {count}: {all}");
        }
    }
    // Last, where a terminal shows it.
    if let Some(next) = next(&campaign) {
        say!("\nnext: {next}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the fields of an analysis were found: a line for all that were found alike on the same pages.
fn sources(sources: &[pb::FieldSource]) -> Vec<String> {
    let mut found: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for source in sources {
        let (field, how, page) = (source.field.as_str(), source.found_in.as_str(), source.page.as_str());
        match found.iter_mut().find(|(f, h, _)| (*f, *h) == (field, how)) {
            Some((.., pages)) => pages.push(page),
            None => found.push((field, how, vec![page])),
        }
    }
    let mut rows: Vec<(Vec<&str>, &str, Vec<&str>)> = Vec::new();
    for (field, how, pages) in found {
        match rows.iter_mut().find(|row| row.1 == how && row.2 == pages) {
            Some((fields, ..)) => fields.push(field),
            None => rows.push((vec![field], how, pages)),
        }
    }
    let told = |(fields, how, pages): &(Vec<&str>, &str, Vec<&str>)| {
        let pages: Vec<_> = pages.iter().filter(|page| !page.is_empty()).copied().collect();
        let (shown, more) = (&pages[..pages.len().min(EXAMPLES)], pages.len().saturating_sub(EXAMPLES));
        let shown: String = shown.iter().map(|page| format!(", {page}")).collect();
        let more = if more == 0 { String::new() } else { format!(" and {more} more (--json has them)") };
        format!("{}: from {how}{shown}{more}", fields.join(", "))
    };
    rows.iter().map(told).collect()
}

/// Rows of those that fit best: of those that fit alike some, and how many more there are.
fn best(prospects: &[pb::RankedProspect]) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for alike in prospects.chunk_by(|one, other| (one.score, &one.reasons) == (other.score, &other.reasons)) {
        let row = |p: &pb::RankedProspect| [p.score.to_string(), p.email.clone(), reasons(p)];
        // A row that stands for one other is no shorter.
        let shown = if alike.len() > EXAMPLES + 1 { EXAMPLES } else { alike.len() };
        rows.extend(alike[..shown].iter().map(row));
        if shown < alike.len() {
            let more = format!("and {} more", alike.len() - shown);
            rows.push([alike[0].score.to_string(), more, "the same".to_owned()]);
        }
    }
    rows.truncate(BEST);
    rows
}

/// Where a campaign stands, and what a person can do now.
fn describe(campaign: &pb::Campaign, plan: Option<&pb::SendingPlan>) -> String {
    let next = next(campaign).map(|next| format!("next: {next}"));
    stands(campaign).into_iter().chain(plan.map(sending)).chain(next).collect::<Vec<_>>().join("\n")
}

/// When the letters go.
fn sending(plan: &pb::SendingPlan) -> String {
    let minute = |time: &prost_types::Timestamp| {
        let text = time.to_string();
        text.get(..16).map_or_else(|| text.clone(), |minute| format!("{minute}Z"))
    };
    let next = plan.next_email_time.as_ref().map(|time| format!("the next letter goes at {}", minute(time)));
    let pace = plan.emails_per_day.filter(|count| *count > 0).map(|count| format!("about {count} a day"));
    let end = plan.estimated_end_time.as_ref().map(|time| format!("the last one at about {}", minute(time)));
    let parts: Vec<_> = [next, pace, end].into_iter().flatten().collect();
    format!("sending: {}", if parts.is_empty() { "nothing goes now".to_owned() } else { parts.join(", ") })
}

fn stands(campaign: &pb::Campaign) -> Vec<String> {
    let mut lines = vec![format!("campaign {} is {}", line(&campaign.id), campaign.state().word())];
    for text in [&campaign.failure, &campaign.hold].into_iter().filter(|t| !t.is_empty()) {
        lines.push(format!("  because: {}", line(text)));
    }
    for field in &campaign.missing_fields {
        lines.push(format!("  missing: {}", line(field)));
    }
    for step in &campaign.steps {
        let summary = if step.summary == campaign.failure { "" } else { &step.summary };
        lines.extend(step_lines(step.id(), step.status(), &line(summary)).into_iter().map(|row| format!("  {row}")));
    }
    lines
}

/// What a person can do now, if there is anything.
fn next(campaign: &pb::Campaign) -> Option<String> {
    to_do(campaign).map(|next| pasteable_for(&line(&campaign.id), &next))
}

fn to_do(campaign: &pb::Campaign) -> Option<String> {
    let failed = campaign.steps.iter().find(|step| step.status() == pb::StepStatus::Failed);
    let next = match campaign.state() {
        pb::CampaignState::WaitingAnalysis => {
            "state the name with `herald config set website_analysis.business_name=NAME`, which counts for all your campaigns, \
             then `herald campaign resume`"
        }
        pb::CampaignState::WaitingTemplate => "choose one with `herald campaign select-template ID`",
        pb::CampaignState::WaitingApproval => "look at its e-mails and decide on each with `herald campaign review`",
        pb::CampaignState::Paused => "go on with `herald campaign resume`",
        // The reason says what is to be stated; without that, it would fail again.
        pb::CampaignState::Failed if failed.is_some_and(|s| s.id() == pb::StepId::WebsiteAnalysis) => {
            "state what the website does not say with `herald config set website_analysis.business_name=NAME \
             website_analysis.introduction=TEXT`, which counts for all your campaigns, then `herald campaign resume`; or start another with another --website"
        }
        pb::CampaignState::Failed if campaign.failure.contains(LeftOut::InCampaign.in_words()) => {
            return Some(format!(
                "wait for the other campaigns to end, which {} names, then `herald campaign resume`; or import other prospects \
                 with `herald prospects import FILE.csv`",
                list_live()
            ));
        }
        pb::CampaignState::Failed if failed.is_some_and(|s| s.id() == pb::StepId::ProspectSearch) => {
            "import prospects that it may write to with `herald prospects import FILE.csv`, then `herald campaign resume`"
        }
        pb::CampaignState::Failed => "try again with `herald campaign resume`",
        pb::CampaignState::Completed if campaign.emails.is_some_and(|emails| emails.sent > 0) => {
            "its e-mails, as they were sent, are shown by `herald campaign emails`"
        }
        _ => return None,
    };
    Some(next.to_owned())
}
