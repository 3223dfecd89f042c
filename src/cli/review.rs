//! The letters of a campaign, on the command line: shown, edited, approved and rejected one by one.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;

use super::client::Api;
use super::editor;
use super::input;
use super::mailboxes;
use super::output::{Json, say_json, say_list};
use super::pages;
use super::refusal::{Unanswered, explain};
use super::which::{meant, newest, standing};
use super::words::Word as _;
use crate::pb::{self, EmailStatus, ReviewDecision};
use crate::terminal::{line, say, tell, text};

/// The id of an e-mail. An address is what people try first.
pub(super) fn email_id(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err("is an address: an e-mail is named by its id, such as em_1, which `herald campaign emails` lists"
            .to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Args)]
pub(super) struct EmailsArgs {
    /// The ids of the letters to show in full; without any, those of the campaign are listed.
    #[arg(value_name = "EMAIL_ID", value_parser = email_id)]
    ids: Vec<String>,
    /// The campaign; the newest if left out.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    /// Those that stand so.
    #[arg(long)]
    status: Option<EmailStatus>,
    /// At most so many; 0 means all.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    form: Json,
}

#[derive(Args)]
pub(super) struct ReviewArgs {
    /// The ids of the letters to decide on, as `herald campaign emails` lists them; without any, each that awaits approval is
    /// shown and asked about.
    #[arg(value_name = "EMAIL_ID", value_parser = email_id)]
    ids: Vec<String>,
    /// The campaign; the newest if left out, unless another one is live.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    campaign: String,
    /// Send them.
    #[arg(long, group = "decision")]
    approve: bool,
    /// Don't send them.
    #[arg(long, group = "decision")]
    reject: bool,
    /// Take the decision back, as long as they have not begun to be sent.
    #[arg(long, group = "decision")]
    reconsider: bool,
    /// A new subject.
    #[arg(long, value_name = "TEXT", requires = "ids")]
    subject: Option<String>,
    /// A file with a new text; - is standard input.
    #[arg(long, value_name = "FILE", requires = "ids")]
    body: Option<PathBuf>,
    #[command(flatten)]
    form: Json,
}

/// Lists a campaign's letters, or shows some of them.
pub(super) async fn emails(api: &mut Api, args: EmailsArgs) -> anyhow::Result<ExitCode> {
    let answer = if args.ids.is_empty() {
        list(api, &args.campaign, args.status.unwrap_or_default(), args.limit).await?
    } else {
        let mut answer = pb::ListWorkflowEmailsResponse::default();
        for id in &args.ids {
            answer.emails.push(get(api, id).await?);
        }
        answer
    };
    if args.form.json {
        return say_json(&answer);
    }
    if args.ids.is_empty() {
        let is_waiting = |e: &pb::Email| e.status() == EmailStatus::AwaitingApproval;
        let mut state = pb::CampaignState::default();
        if answer.emails.iter().any(is_waiting) {
            state = newest(api, args.campaign).await?.state();
        }
        let row = |e: &pb::Email| {
            [e.id.clone(), standing(e.status(), state), e.to.clone(), e.subject.clone(), e.note.clone()]
        };
        let rows: Vec<_> = answer.emails.iter().map(row).collect();
        say_list("e-mails", ["id", "status", "to", "subject", "note"], &rows);
    }
    for email in answer.emails.iter().filter(|_| !args.ids.is_empty()) {
        say!("{}\n", letter(email));
        email.transcript.iter().for_each(|said| say!("  {}", mailboxes::spoken(said)));
    }
    pages::tell_rest(&answer.next_page_token);
    Ok(ExitCode::SUCCESS)
}

/// Decides on letters: those that are named, or one after another.
pub(super) async fn review(api: &mut Api, args: ReviewArgs) -> anyhow::Result<ExitCode> {
    let (form, is_decided) = (args.form, args.approve || args.reject || args.reconsider);
    let is_edited = args.subject.is_some() || args.body.is_some();
    if args.ids.is_empty() && is_decided {
        bail!("name the letters; `herald campaign approve` approves all that await it");
    }
    if !args.ids.is_empty() && !is_decided && !is_edited {
        bail!("say what to do with them: --approve, --reject, --reconsider, --subject or --body");
    }
    let body = args.body.as_deref().map(|path| input::text(path, &input::TEXT)).transpose()?;
    args.subject.iter().chain(&body).for_each(|text| warn_of_places(text));
    // Of a campaign that has ended the refusal says so; by an empty id there would be none.
    let id = meant(api, args.campaign).await?;
    let campaign = newest(api, id).await?;
    let reviewed = if args.ids.is_empty() {
        ask(api, &campaign).await?
    } else {
        let decision = match (args.approve, args.reject, args.reconsider) {
            (true, ..) => ReviewDecision::Approve,
            (_, true, _) => ReviewDecision::Reject,
            (_, _, true) => ReviewDecision::Reconsider,
            _ => ReviewDecision::Unspecified,
        };
        let review = |id: &String| pb::EmailReview {
            email_id: id.clone(),
            decision: decision.into(),
            subject: args.subject.clone(),
            body: body.clone(),
        };
        let answer = decide(api, &campaign.id, args.ids.iter().map(review).collect()).await?;
        Reviewed { answer, changed: if is_edited { args.ids.len() } else { 0 } }
    };
    if form.json {
        return say_json(&reviewed.answer);
    }
    say!("{}", reviewed.told());
    Ok(ExitCode::SUCCESS)
}

/// What came of a review.
struct Reviewed {
    answer: pb::ReviewEmailsResponse,
    /// How many letters have another subject or text.
    changed: usize,
}

impl Reviewed {
    fn told(&self) -> String {
        let (answer, changed) = (&self.answer, i32::try_from(self.changed).unwrap_or(i32::MAX));
        let campaign = answer.campaign.clone().unwrap_or_default();
        let left = campaign.emails.unwrap_or_default().awaiting_approval;
        let done = [
            (answer.approved_count, "approved"),
            (answer.rejected_count, "rejected"),
            (answer.reconsidered_count, "taken back"),
            (changed, "changed"),
        ];
        let done: Vec<_> =
            done.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if done.is_empty() && left == 0 {
            return format!(
                "nothing awaits approval: the campaign {} is {}",
                line(&campaign.id),
                campaign.state().word()
            );
        }
        let done = if done.is_empty() { "none decided".to_owned() } else { done.join(", ") };
        format!("{done}, {left} left to decide")
    }
}

/// Shows each letter that awaits approval, and asks.
async fn ask(api: &mut Api, campaign: &pb::Campaign) -> anyhow::Result<Reviewed> {
    let waiting = list(api, &campaign.id, EmailStatus::AwaitingApproval, 0).await?.emails;
    if !waiting.is_empty() && !std::io::stdin().is_terminal() {
        bail!("standard input is no terminal to ask at: name letters and say --approve or --reject");
    }
    let (count, mut input) = (waiting.len(), std::io::stdin().lock());
    let mut done = Reviewed { answer: pb::ReviewEmailsResponse::default(), changed: 0 };
    'letters: for (n, mut email) in waiting.into_iter().enumerate() {
        say!("\n{}\n", letter(&email));
        let mut is_changed = false;
        loop {
            say!("letter {} of {count}: (a)pprove, (r)eject, (e)dit, (s)kip, (q)uit?", n + 1);
            let mut answer = String::new();
            if input.read_line(&mut answer)? == 0 {
                break 'letters;
            }
            let decision = match answer.trim().to_lowercase().as_str() {
                "a" | "approve" => ReviewDecision::Approve,
                "r" | "reject" => ReviewDecision::Reject,
                "s" | "skip" => break,
                "q" | "quit" => break 'letters,
                "e" | "edit" => {
                    let (subject, body) = match edited(&email) {
                        Ok(Some(edited)) => edited,
                        Ok(None) => {
                            say!("nothing was changed");
                            continue;
                        }
                        Err(error) => {
                            say!("{error:#}");
                            continue;
                        }
                    };
                    let warned = [subject.clone(), body.clone()];
                    let review = pb::EmailReview {
                        email_id: email.id.clone(),
                        decision: ReviewDecision::Unspecified.into(),
                        subject: Some(subject),
                        body: Some(body),
                    };
                    match decide(api, &campaign.id, vec![review]).await {
                        Ok(_) => {
                            warned.iter().for_each(|text| warn_of_places(text));
                            done.changed += usize::from(!std::mem::replace(&mut is_changed, true));
                            email = get(api, &email.id).await?;
                        }
                        Err(error) => say!("{error:#}"),
                    }
                    say!("\n{}\n", letter(&email));
                    continue;
                }
                _ => {
                    say!(
                        "a sends it, r keeps it from being sent, e opens it in $EDITOR, s leaves it undecided for now, q ends the \
                         review; what was decided stays so"
                    );
                    continue;
                }
            };
            let review =
                pb::EmailReview { email_id: email.id.clone(), decision: decision.into(), ..Default::default() };
            match decide(api, &campaign.id, vec![review]).await {
                Ok(answer) => {
                    done.answer.approved_count += answer.approved_count;
                    done.answer.rejected_count += answer.rejected_count;
                    break;
                }
                Err(error) if error.is::<Unanswered>() => return Err(error),
                Err(error) => say!("{error:#}"),
            }
        }
    }
    done.answer.campaign = Some(newest(api, campaign.id.clone()).await?);
    Ok(done)
}

/// Tells of places to fill in that nobody fills in: what a person writes is no template.
fn warn_of_places(text: &str) {
    let rest = text.split_once("{{").map(|(_, rest)| rest);
    if let Some(place) = rest.and_then(|rest| rest.split_once("}}")).map(|(place, _)| place) {
        tell!("warning: {{{{{}}}}} is sent as it stands there: write what it stands for", line(place));
    }
}

/// The subject and text after a person has edited them; None if they are as they were.
fn edited(email: &pb::Email) -> anyhow::Result<Option<(String, String)>> {
    let after = editor::edited(&editor::written(&email.subject, &email.body))?;
    after.map(|after| editor::read(&after)).transpose()
}

async fn decide(
    api: &mut Api,
    campaign_id: &str,
    reviews: Vec<pb::EmailReview>,
) -> anyhow::Result<pb::ReviewEmailsResponse> {
    let request = pb::ReviewEmailsRequest { campaign_id: campaign_id.to_owned(), reviews, others: 0 };
    Ok(api.workflow.review_emails(request).await.map_err(|s| explain(&s))?.into_inner())
}

async fn get(api: &mut Api, id: &str) -> anyhow::Result<pb::Email> {
    let request = pb::GetEmailRequest { email_id: id.to_owned() };
    Ok(api.agent.get_email(request).await.map_err(|s| explain(&s))?.into_inner().email.unwrap_or_default())
}

/// At most `limit` of a campaign's letters; 0 means all.
async fn list(
    api: &mut Api,
    campaign: &str,
    status: EmailStatus,
    limit: usize,
) -> anyhow::Result<pb::ListWorkflowEmailsResponse> {
    let page = async |page_size, page_token| {
        let (campaign_id, status) = (campaign.to_owned(), status.into());
        let request = pb::ListWorkflowEmailsRequest { campaign_id, page_size, page_token, status };
        let page = api.workflow.list_workflow_emails(request).await.map_err(|s| explain(&s))?.into_inner();
        Ok((page.emails, page.next_page_token))
    };
    let (emails, next_page_token) = pages::rows(limit, 200, page).await?;
    Ok(pb::ListWorkflowEmailsResponse { emails, next_page_token })
}

/// A letter as it will be, or was, sent.
fn letter(email: &pb::Email) -> String {
    let mut lines = vec![format!("{}: {}", email.id, email.status().word())];
    if !email.note.is_empty() {
        lines.push(format!("Note: {}", line(&email.note)));
    }
    let mark = |what: &str, by: &str, time: Option<prost_types::Timestamp>| {
        let by = if by.is_empty() { "the configuration (auto_approve)".into() } else { line(by) };
        time.map(|time| format!("{what} by {by}, {time}"))
    };
    let decided = if email.status() == EmailStatus::Rejected { "Rejected" } else { "Approved" };
    lines.extend(mark("Edited", &email.edited_by, email.edited_time));
    lines.extend(mark(decided, &email.decided_by, email.decided_time));
    lines.extend([
        format!("From: {}", line(&email.from)),
        format!("To: {}", line(&email.to)),
        format!("Subject: {}", line(&email.subject)),
        String::new(),
        text(&email.body).into_owned(),
    ]);
    lines.join("\n")
}
