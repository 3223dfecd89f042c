//! The letters of a campaign, on the command line: shown, edited, approved and rejected one by one.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::Args;

use super::client::Api;
use super::output::{Json, say_json, table};
use super::refusal::{Unanswered, explain};
use super::words::Word as _;
use crate::pb::{self, EmailStatus, ReviewDecision};
use crate::terminal::{line, say, tell, text};

#[derive(Args)]
pub(super) struct EmailsArgs {
    /// The letters to show in full; without any, those of the campaign are listed.
    #[arg(value_name = "EMAIL")]
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
    /// The letters to decide on; without any, each that awaits approval is shown and asked about.
    #[arg(value_name = "EMAIL")]
    ids: Vec<String>,
    /// The campaign; the newest if left out.
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
        let row = |e: &pb::Email| [e.id.clone(), e.status().word(), e.to.clone(), e.subject.clone(), e.note.clone()];
        let rows: Vec<_> = answer.emails.iter().map(row).collect();
        say!("{}", table(["id", "status", "to", "subject", "note"], &rows));
    }
    for email in answer.emails.iter().filter(|_| !args.ids.is_empty()) {
        say!("{}\n", letter(email));
    }
    if !answer.next_page_token.is_empty() {
        tell!("there are more; --limit 0 shows all");
    }
    Ok(ExitCode::SUCCESS)
}

/// Decides on letters: those that are named, or one after another.
pub(super) async fn review(api: &mut Api, args: ReviewArgs) -> anyhow::Result<ExitCode> {
    let answer = if !args.ids.is_empty() {
        let decision = match (args.approve, args.reject, args.reconsider) {
            (true, ..) => ReviewDecision::Approve,
            (_, true, _) => ReviewDecision::Reject,
            (_, _, true) => ReviewDecision::Reconsider,
            _ if args.subject.is_some() || args.body.is_some() => ReviewDecision::Unspecified,
            _ => bail!("say what to do with them: --approve, --reject, --reconsider, --subject or --body"),
        };
        let body = args.body.as_deref().map(read).transpose()?;
        let review = |id: &String| pb::EmailReview {
            email_id: id.clone(),
            decision: decision.into(),
            subject: args.subject.clone(),
            body: body.clone(),
        };
        decide(api, &args.campaign, args.ids.iter().map(review).collect()).await?
    } else if args.approve || args.reject || args.reconsider {
        bail!("name the letters; `herald campaign approve` approves all that await it");
    } else if std::io::stdin().is_terminal() {
        ask(api, &args.campaign).await?
    } else {
        bail!("standard input is no terminal to ask at: name letters and say --approve or --reject");
    };
    if args.form.json {
        return say_json(&answer);
    }
    let counts = answer.campaign.and_then(|campaign| campaign.emails).unwrap_or_default();
    let taken = [("approved", answer.approved_count), ("rejected", answer.rejected_count)];
    let taken = taken.into_iter().chain([("taken back", answer.reconsidered_count)]).filter(|(_, count)| *count > 0);
    let done: Vec<_> = taken.map(|(what, count)| format!("{count} {what}")).collect();
    let done = if done.is_empty() { "none decided".to_owned() } else { done.join(", ") };
    say!("{done}, {} left to decide", counts.awaiting_approval);
    Ok(ExitCode::SUCCESS)
}

/// Shows each letter that awaits approval, and asks.
async fn ask(api: &mut Api, campaign_id: &str) -> anyhow::Result<pb::ReviewEmailsResponse> {
    let waiting = list(api, campaign_id, EmailStatus::AwaitingApproval, 0).await?.emails;
    let (count, mut input) = (waiting.len(), std::io::stdin().lock());
    let mut done = pb::ReviewEmailsResponse::default();
    'letters: for (n, mut email) in waiting.into_iter().enumerate() {
        say!("\n{}\n", letter(&email));
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
                    let review = pb::EmailReview {
                        email_id: email.id.clone(),
                        decision: ReviewDecision::Unspecified.into(),
                        subject: Some(subject),
                        body: Some(body),
                    };
                    match decide(api, campaign_id, vec![review]).await {
                        Ok(_) => email = get(api, &email.id).await?,
                        Err(error) => say!("{error:#}"),
                    }
                    say!("\n{}\n", letter(&email));
                    continue;
                }
                _ => continue,
            };
            let review =
                pb::EmailReview { email_id: email.id.clone(), decision: decision.into(), ..Default::default() };
            match decide(api, campaign_id, vec![review]).await {
                Ok(answer) => {
                    done.approved_count += answer.approved_count;
                    done.rejected_count += answer.rejected_count;
                    break;
                }
                Err(error) if error.is::<Unanswered>() => return Err(error),
                Err(error) => say!("{error:#}"),
            }
        }
    }
    let request = pb::GetWorkflowRequest { campaign_id: campaign_id.to_owned() };
    let answer = api.workflow.get_workflow(request).await.map_err(|s| explain(&s))?;
    done.campaign = answer.into_inner().campaign;
    Ok(done)
}

/// The subject and text after a person has edited them; None if they are as they were.
fn edited(email: &pb::Email) -> anyhow::Result<Option<(String, String)>> {
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|e| !e.is_empty()));
    let editor = editor.context("say which editor to use: set EDITOR")?;
    let mut file = tempfile::Builder::new().prefix("herald-").suffix(".txt").tempfile().context("a file to edit")?;
    let before = format!("Subject: {}\n\n{}\n", email.subject, email.body);
    file.write_all(before.as_bytes())?;
    // As a shell reads it: an editor may have arguments.
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file.path()).status();
    let status = status.with_context(|| format!("cannot start {editor}"))?;
    if !status.success() {
        bail!("{editor} ended with {status}; the letter is as it was");
    }
    let after = std::fs::read_to_string(file.path()).context("what was edited")?;
    if after == before {
        return Ok(None);
    }
    let (first, body) = after.split_once('\n').unwrap_or((&after, ""));
    let subject = first.strip_prefix("Subject:").context("the first line must begin with \"Subject:\"")?;
    Ok(Some((subject.trim().to_owned(), body.trim().to_owned())))
}

async fn decide(
    api: &mut Api,
    campaign_id: &str,
    reviews: Vec<pb::EmailReview>,
) -> anyhow::Result<pb::ReviewEmailsResponse> {
    // An empty id means the live campaign, which is the newest.
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
    let wanted = if limit == 0 { usize::MAX } else { limit };
    let mut whole = pb::ListWorkflowEmailsResponse::default();
    loop {
        let page_size = i32::try_from((wanted - whole.emails.len()).min(200)).unwrap_or(200);
        let (campaign_id, status) = (campaign.to_owned(), status.into());
        let page_token = std::mem::take(&mut whole.next_page_token);
        let request = pb::ListWorkflowEmailsRequest { campaign_id, page_size, page_token, status };
        let page = api.workflow.list_workflow_emails(request).await.map_err(|s| explain(&s))?.into_inner();
        whole.emails.extend(page.emails);
        whole.next_page_token = page.next_page_token;
        if whole.next_page_token.is_empty() || whole.emails.len() >= wanted {
            return Ok(whole);
        }
    }
}

/// The text of a file, or of standard input.
fn read(path: &Path) -> anyhow::Result<String> {
    let mut body = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut body).context("standard input")?;
    } else {
        body = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    }
    Ok(body)
}

/// A letter as it will be, or was, sent.
fn letter(email: &pb::Email) -> String {
    let mut lines = vec![format!("{}: {}", email.id, email.status().word())];
    if !email.note.is_empty() {
        lines.push(format!("Note: {}", line(&email.note)));
    }
    lines.extend([
        format!("From: {}", line(&email.from)),
        format!("To: {}", line(&email.to)),
        format!("Subject: {}", line(&email.subject)),
        String::new(),
        text(&email.body).into_owned(),
    ]);
    lines.join("\n")
}
