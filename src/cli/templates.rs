//! `herald templates …`: the letters that campaigns are written from, on a running server.
//!
//! A text of a template is a file: `Subject: …` on its first line, an empty line, and the body.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::client::{Api, Connection};
use super::output::{Json, say_json, say_list};
use super::refusal::explain;
use super::{editor, input, mailboxes};
use crate::pb;
use crate::pb::preview_template_request::From;
use crate::terminal::{line, say, text};

#[derive(Args)]
pub(super) struct TemplatesArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the built-in templates and the tenant's own.
    List {
        #[command(flatten)]
        form: Json,
    },
    /// List the values that templates may use.
    Values {
        #[command(flatten)]
        form: Json,
    },
    /// Print a template, each of its texts as a file that `create` and `update` take.
    Get {
        /// The template's id.
        #[arg(value_name = "TEMPLATE")]
        id: String,
        /// In this language alone.
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        #[command(flatten)]
        form: Json,
    },
    /// Add a template of the tenant's own, from files or from another template.
    Create {
        /// A name for people.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        settings: Settings,
        /// Begin with the texts of this template.
        #[arg(long, value_name = "TEMPLATE", required_unless_present = "texts")]
        from: Option<String>,
        #[command(flatten)]
        form: Json,
    },
    /// Change what the options name; the texts of other languages stay.
    Update {
        /// The template's id.
        #[arg(value_name = "TEMPLATE")]
        id: String,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        settings: Settings,
        /// Remove the text in this language. May be given more than once.
        #[arg(long, value_name = "TAG")]
        remove: Vec<String>,
        #[command(flatten)]
        form: Json,
    },
    /// Open a text in $EDITOR, show the letter that comes of it after each save, and keep it when you say so.
    Edit {
        /// The template's id.
        #[arg(value_name = "TEMPLATE")]
        id: String,
        /// Which text; if left out, the first. One that is not there is begun from the first.
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        #[command(flatten)]
        whom: Whom,
    },
    /// Print the letter that a campaign would send, and send nothing.
    Preview {
        /// The template's id.
        #[arg(value_name = "TEMPLATE", required_unless_present = "texts", conflicts_with = "texts")]
        id: Option<String>,
        /// A text that is not stored.
        #[arg(long = "text", value_name = "TAG=FILE")]
        texts: Vec<String>,
        /// In which language, to an invented prospect.
        #[arg(long, value_name = "TAG", default_value = "", hide_default_value = true)]
        language: String,
        #[command(flatten)]
        whom: Whom,
        /// Print the whole message, as it is sent.
        #[arg(long, conflicts_with = "json")]
        eml: bool,
        #[command(flatten)]
        form: Json,
    },
    /// Remove a template of the tenant's own. Letters that are written stay.
    Delete {
        /// The template's id.
        #[arg(value_name = "TEMPLATE")]
        id: String,
        #[command(flatten)]
        form: Json,
    },
}

#[derive(Args)]
struct Settings {
    /// When to use it.
    #[arg(long)]
    description: Option<String>,
    /// A language and the file with its text, such as en=fair.txt; - is standard input. May be given more than once.
    #[arg(long = "text", value_name = "TAG=FILE")]
    texts: Vec<String>,
}

#[derive(Args)]
struct Whom {
    /// To this prospect; if left out, to an invented one.
    #[arg(long, value_name = "PROSPECT", default_value = "", hide_default_value = true)]
    prospect: String,
    /// As this campaign writes; if left out, as the configuration says.
    #[arg(long, value_name = "CAMPAIGN", default_value = "", hide_default_value = true)]
    campaign: String,
    /// From this mailbox, by its id or its address; if left out, from the oldest one that is enabled.
    #[arg(long, value_name = "MAILBOX", default_value = "", hide_default_value = true)]
    mailbox: String,
}

pub(super) fn templates(args: TemplatesArgs) -> anyhow::Result<ExitCode> {
    // A bad file is told before a server is needed.
    let texts = match &args.command {
        Command::Create { settings, .. } | Command::Update { settings, .. } => read(&settings.texts)?,
        Command::Preview { texts, .. } => read(texts)?,
        _ => Vec::new(),
    };
    args.connection.run(async |mut api| run(&mut api, args.command, texts).await)
}

async fn run(api: &mut Api, command: Command, texts: Vec<pb::TemplateText>) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { form } => list(api, form).await,
        Command::Values { form } => {
            let answer = all(api).await?;
            if form.json {
                return say_json(&answer);
            }
            let rows: Vec<_> = answer.values.into_iter().map(|value| [value.name, value.description]).collect();
            say_list("values", ["value", "what it is"], &rows);
            Ok(ExitCode::SUCCESS)
        }
        Command::Get { id, language, form } => {
            let mut template = get(api, &id).await?;
            if let Some(tag) = &language {
                template.texts.retain(|text| text.language.eq_ignore_ascii_case(tag));
                if template.texts.is_empty() {
                    bail!("the template {} has no text in {}", line(&id), line(tag));
                }
            }
            if form.json {
                return say_json(&pb::GetTemplateResponse { template: Some(template) });
            }
            let one = template.texts.len() == 1;
            for of in &template.texts {
                if !one {
                    say!("=== {} ===", line(&of.language));
                }
                say!("{}", text(&editor::written(&of.subject, &of.body)));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Create { name, settings, from, form } => {
            let mut begun = match from {
                Some(id) => get(api, &id).await?,
                None => pb::Template::default(),
            };
            put(&mut begun.texts, texts);
            let description = settings.description.unwrap_or(begun.description);
            let template = Some(pb::Template { name, description, texts: begun.texts, ..Default::default() });
            let languages = languages(template.as_ref());
            let request = pb::CreateTemplateRequest { template, request_id: String::new() };
            let answer = api.workflow.create_template(request).await.map_err(|s| told(&s, &languages))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            done(answer.template.as_ref(), "is added")
        }
        Command::Update { id, name, settings, remove, form } => {
            let before = get(api, &id).await?;
            let mut after = before.clone();
            put(&mut after.texts, texts);
            for tag in &remove {
                let count = after.texts.len();
                after.texts.retain(|text| !text.language.eq_ignore_ascii_case(tag));
                if after.texts.len() == count {
                    bail!("the template {} has no text in {}", line(&id), line(tag));
                }
            }
            after.name = name.unwrap_or(after.name);
            after.description = settings.description.unwrap_or(after.description);
            if after == before {
                bail!("nothing is to be changed: `herald templates update --help` lists the options");
            }
            let answer = update(api, after).await?;
            if form.json {
                return say_json(&answer);
            }
            done(answer.template.as_ref(), "is changed")
        }
        Command::Edit { id, language, whom } => {
            let whom = whom.found(api).await?;
            edit(api, &id, language, &whom).await
        }
        Command::Preview { id, language, whom, eml, form, .. } => {
            let draft = pb::Template { texts, ..Default::default() };
            let languages = languages(Some(&draft));
            let whom = whom.found(api).await?;
            let request = whom.request(id.map_or(From::Template(draft), From::TemplateId), language);
            let answer = api.workflow.preview_template(request).await.map_err(|s| told(&s, &languages))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            if eml {
                say!("{}", text(&String::from_utf8_lossy(&answer.message)));
            } else {
                say!("{}", text(&editor::written(&answer.subject, &answer.body)));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Delete { id, form } => {
            let request = pb::DeleteTemplateRequest { template_id: id.clone(), etag: String::new() };
            let answer = api.workflow.delete_template(request).await.map_err(|s| explain(&s))?.into_inner();
            if form.json {
                return say_json(&answer);
            }
            say!("the template {} is removed", line(&id));
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(api: &mut Api, form: Json) -> anyhow::Result<ExitCode> {
    let answer = all(api).await?;
    if form.json {
        return say_json(&answer);
    }
    let row = |template: pb::Template| {
        let whose = if template.built_in { "built-in" } else { "own" }.to_owned();
        let languages = languages(Some(&template)).join(" ");
        [template.id, template.name, whose, languages, template.description]
    };
    let rows: Vec<_> = answer.templates.into_iter().map(row).collect();
    say_list("templates", ["id", "name", "whose", "languages", "when"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// Edits until a person keeps it or gives up.
async fn edit(api: &mut Api, id: &str, language: Option<String>, whom: &Whom) -> anyhow::Result<ExitCode> {
    let mut template = get(api, id).await?;
    if template.built_in {
        bail!(
            "{} is built in: `herald templates create --name NAME --from {}` makes one of your own",
            line(id),
            line(id)
        );
    }
    let first = template.texts.first().cloned().unwrap_or_default();
    let language = language.unwrap_or_else(|| first.language.clone());
    let begun = template.texts.iter().find(|text| text.language.eq_ignore_ascii_case(&language));
    let begun = begun.cloned().unwrap_or(pb::TemplateText { language, ..first });
    let (mut file, mut input) = (editor::written(&begun.subject, &begun.body), std::io::stdin().lock());
    loop {
        match editor::edited(&file)? {
            Some(edited) => file = edited,
            None => say!("nothing was changed"),
        }
        let mut is_good = false;
        match editor::read(&file) {
            Ok((subject, body)) => {
                let edited = pb::TemplateText { language: begun.language.clone(), subject, body };
                put(&mut template.texts, vec![edited.clone()]);
                let draft = pb::Template { texts: vec![edited], ..Default::default() };
                let languages = languages(Some(&draft));
                let request = whom.request(From::Template(draft), begun.language.clone());
                match api.workflow.preview_template(request).await {
                    Ok(letter) => {
                        let letter = letter.into_inner();
                        say!("\n{}", text(&editor::written(&letter.subject, &letter.body)));
                        is_good = true;
                    }
                    Err(status) => say!("{:#}", told(&status, &languages)),
                }
            }
            Err(error) => say!("{error:#}"),
        }
        loop {
            say!("{}(e)dit again, (q)uit without saving?", if is_good { "(s)ave, " } else { "" });
            let mut answer = String::new();
            if input.read_line(&mut answer)? == 0 {
                bail!("nothing was saved");
            }
            match answer.trim().to_lowercase().as_str() {
                "s" | "save" if is_good => {
                    let answer = update(api, template).await?;
                    return done(answer.template.as_ref(), "is changed");
                }
                "e" | "edit" => break,
                "q" | "quit" => {
                    say!("nothing was saved");
                    return Ok(ExitCode::SUCCESS);
                }
                _ => {}
            }
        }
    }
}

async fn all(api: &mut Api) -> anyhow::Result<pb::ListTemplatesResponse> {
    Ok(api.workflow.list_templates(pb::ListTemplatesRequest {}).await.map_err(|s| explain(&s))?.into_inner())
}

async fn get(api: &mut Api, id: &str) -> anyhow::Result<pb::Template> {
    let request = pb::GetTemplateRequest { template_id: id.to_owned() };
    let answer = api.workflow.get_template(request).await.map_err(|s| explain(&s))?.into_inner();
    Ok(answer.template.unwrap_or_default())
}

/// Writes all of it, unless it has changed since it was read.
async fn update(api: &mut Api, template: pb::Template) -> anyhow::Result<pb::UpdateTemplateResponse> {
    let languages = languages(Some(&template));
    let paths = ["name", "description", "texts"].map(str::to_owned).to_vec();
    let update_mask = Some(prost_types::FieldMask { paths });
    let request = pb::UpdateTemplateRequest { template: Some(template), update_mask };
    Ok(api.workflow.update_template(request).await.map_err(|s| told(&s, &languages))?.into_inner())
}

fn done(template: Option<&pb::Template>, what: &str) -> anyhow::Result<ExitCode> {
    let template = template.cloned().unwrap_or_default();
    say!("the template {} ({}) {what}", line(&template.id), line(&template.name));
    Ok(ExitCode::SUCCESS)
}

/// The texts of `TAG=FILE`.
fn read(texts: &[String]) -> anyhow::Result<Vec<pb::TemplateText>> {
    let one = |given: &String| {
        let (tag, file) = given
            .split_once('=')
            .with_context(|| format!("--text {}: it is a language and a file, such as en=fair.txt", line(given)))?;
        let path = PathBuf::from(file);
        let content = input::text(&path, &input::TEXT)?;
        let (subject, body) = editor::read(&content).with_context(|| input::name(&path))?;
        Ok(pb::TemplateText { language: tag.to_owned(), subject, body })
    };
    texts.iter().map(one).collect()
}

/// Puts texts in the places of those in the same languages, or behind them.
fn put(texts: &mut Vec<pb::TemplateText>, new: Vec<pb::TemplateText>) {
    for text in new {
        match texts.iter_mut().find(|old| old.language.eq_ignore_ascii_case(&text.language)) {
            Some(old) => *old = text,
            None => texts.push(text),
        }
    }
}

fn languages(template: Option<&pb::Template>) -> Vec<String> {
    template.iter().flat_map(|template| &template.texts).map(|text| text.language.clone()).collect()
}

/// A refusal that names the texts by their languages.
fn told(status: &Status, languages: &[String]) -> anyhow::Error {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
    let named = |field: &str| {
        let (number, part) = field.strip_prefix("template.texts[")?.split_once("].")?;
        let language = number.parse::<usize>().ok().and_then(|number| languages.get(number))?;
        Some(format!("the {} in {}", line(part), line(language)))
    };
    let words: Option<Vec<_>> = violations
        .iter()
        .map(|violation| Some(format!("{}: {}", named(&violation.field)?, line(&violation.description))))
        .collect();
    match words.filter(|words| !words.is_empty()) {
        Some(words) => anyhow::Error::msg(words.join("\n  ")),
        None => explain(status),
    }
}

// === impl Whom ===

impl Whom {
    /// With the id of its mailbox in the place of its address.
    async fn found(self, api: &mut Api) -> anyhow::Result<Self> {
        let mailbox = mailboxes::id(api, &self.mailbox).await?;
        Ok(Self { mailbox, ..self })
    }

    fn request(&self, from: From, language: String) -> pb::PreviewTemplateRequest {
        pb::PreviewTemplateRequest {
            from: Some(from),
            prospect_id: self.prospect.clone(),
            campaign_id: self.campaign.clone(),
            mailbox_id: self.mailbox.clone(),
            language,
        }
    }
}
