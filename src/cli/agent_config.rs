//! `herald config …`: the tenant's configuration, through a running server.
//!
//! A field is named by its path in `herald.v1.AgentConfig`, such as `sender.name`; its value is read by the field's type, as
//! the descriptors say it, so that a new field is there without a line here.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::client::{Api, Connection};
use super::output::{Json, say_json, table, to_value};
use super::refusal::explain;
use super::words::words;
use crate::domain::agent_config::FIELDS;
use crate::pb;
use crate::terminal::{line, say, tell};

#[derive(Args)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the tenant's configuration.
    Get(GetArgs),
    /// Change fields of the tenant's configuration, and print what they are now.
    Set(SetArgs),
    /// What `herald settings` was called.
    #[command(hide = true, disable_help_flag = true)]
    Print {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
}

#[derive(Args)]
struct GetArgs {
    /// Only this field, such as sender.name; all if left out.
    #[arg(conflicts_with = "json")]
    field: Option<String>,
    #[command(flatten)]
    form: Json,
}

#[derive(Args)]
struct SetArgs {
    /// The fields and their new values, such as sender.name=Grace industries=Farming,Gardening
    /// auto_approve=true template_data='{"booth": "B12"}'. Lists are separated by commas or
    /// a JSON array, objects are JSON and replace what was there as a whole, an empty value clears.
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Only if the configuration still has this etag.
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    #[command(flatten)]
    form: Json,
}

const MESSAGE: &str = "herald.v1.AgentConfig";
/// How far a name may be from the field that is meant.
const TYPOS: usize = 3;

pub(super) fn config(args: ConfigArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Get(get) => args.connection.run(async |api| self::get(api, get).await),
        Command::Set(set) => {
            let request = request(&set)?;
            args.connection.run(async |api| self::set(api, &set, request).await)
        }
        Command::Print { rest: _ } => {
            tell!("error: `herald settings` prints the server's settings; `herald config` is the tenant's alone");
            Ok(ExitCode::from(2))
        }
    }
}

async fn get(mut api: Api, args: GetArgs) -> anyhow::Result<ExitCode> {
    let path = args.field.as_deref().map(find).transpose()?;
    let answer = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&answer);
    }
    let config = to_value(&answer.config.unwrap_or_default())?;
    match path {
        Some(path) => say!("{}", text(&path, &config)),
        None => {
            let mut rows = Vec::new();
            let message = pb::descriptor(MESSAGE).context("no message of the configuration")?;
            flatten(&message, "", &config, &mut rows);
            say!("{}", table(["field", "value"], &rows));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The change that the arguments ask for.
fn request(args: &SetArgs) -> anyhow::Result<pb::UpdateAgentConfigRequest> {
    let (mut values, mut paths) = (Value::Object(Map::new()), Vec::new());
    for field in &args.fields {
        let (name, text) = field.split_once('=').with_context(|| format!("{field}: write FIELD=VALUE"))?;
        let path = find(name)?;
        if !FIELDS.iter().any(|field| is_or_holds(name, field)) {
            bail!("{name} can be read and not set: the server makes it");
        }
        let value = parse(path.last().context("a path has a field")?, text).with_context(|| name.to_owned())?;
        let mut at = &mut values;
        for field in &path {
            at = &mut at[field.json_name()];
        }
        *at = value;
        paths.push(name.to_owned());
    }
    let mut config: pb::AgentConfig = pb::from_json(MESSAGE, values).map_err(anyhow::Error::msg)?;
    config.etag.clone_from(&args.etag);
    Ok(pb::UpdateAgentConfigRequest { config: Some(config), update_mask: Some(prost_types::FieldMask { paths }) })
}

/// Changes the fields, and says what each is now.
async fn set(mut api: Api, args: &SetArgs, request: pb::UpdateAgentConfigRequest) -> anyhow::Result<ExitCode> {
    let paths = request.update_mask.clone().unwrap_or_default().paths;
    let answer = api.agent.update_agent_config(request).await.map_err(|s| explain(&s))?.into_inner();
    if args.form.json {
        return say_json(&answer);
    }
    let config = to_value(&answer.config.unwrap_or_default())?;
    for name in paths {
        let value = text(&find(&name)?, &config);
        if value.is_empty() { say!("{name} is cleared") } else { say!("{name} = {}", line(&value)) }
    }
    Ok(ExitCode::SUCCESS)
}

/// The value at a path, as `set` takes it.
fn text(path: &[FieldDescriptor], config: &Value) -> String {
    let value = path.iter().fold(config, |at, field| &at[field.json_name()]);
    match (value, path.last().map(FieldDescriptor::kind)) {
        (Value::String(name), Some(Kind::Enum(values))) => enum_text(name, &values),
        (Value::Null, _) => String::new(),
        (Value::String(text), _) => text.clone(),
        (Value::Array(items), _) if items.iter().all(Value::is_string) => joined(items),
        (other, _) => other.to_string(),
    }
}

/// The word of an enum's value; empty for the one that states nothing.
fn enum_text(name: &str, values: &EnumDescriptor) -> String {
    words(values).find(|(_, known)| known == name).map(|(word, _)| word).unwrap_or_default()
}

fn joined(items: &[Value]) -> String {
    let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
    texts.collect::<Vec<_>>().join(", ")
}

/// The fields on the way to `name`.
fn find(name: &str) -> anyhow::Result<Vec<FieldDescriptor>> {
    let mut message = pb::descriptor(MESSAGE).context("no message of the configuration")?;
    let mut path = Vec::new();
    for part in name.split('.') {
        let Some(field) = message.get_field_by_name(part) else {
            if of_a_mailbox(name) {
                bail!("{name} is not of the configuration but of a mailbox: `herald mailboxes --help`");
            }
            let prefix: String = path.iter().map(|field: &FieldDescriptor| format!("{}.", field.name())).collect();
            let can_be_set = |name: &String| FIELDS.iter().any(|field| is_or_holds(&format!("{prefix}{name}"), field));
            let known: Vec<_> = message.fields().map(|field| field.name().to_owned()).filter(can_be_set).collect();
            let whole = |field: &&&str| strsim::osa_distance(name, field);
            let nearest = FIELDS.iter().min_by_key(whole).filter(|nearest| whole(nearest) <= TYPOS);
            let nearest = nearest.map(|nearest| format!("did you mean {nearest}? ")).unwrap_or_default();
            bail!("{name}: there is no field {part:?}; {nearest}known are: {}", known.join(", "));
        };
        if let Kind::Message(inner) = field.kind() {
            message = inner;
        } else if path.len() + 1 < name.split('.').count() {
            bail!("{name}: {part:?} has no fields of its own");
        }
        path.push(field);
    }
    Ok(path)
}

/// Whether it stood in the configuration before there were mailboxes.
fn of_a_mailbox(name: &str) -> bool {
    const THERE: [&str; 6] = [
        "smtp",
        "provider",
        "sender.email",
        "controls.max_emails_per_hour",
        "controls.working_hours",
        "controls.time_zone",
    ];
    THERE.iter().any(|field| is_or_holds(name, field))
}

/// Whether a name is that of a field, or of one that holds it, or of what it holds.
fn is_or_holds(name: &str, field: &str) -> bool {
    let within =
        |whole: &str, part: &str| part.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    within(name, field) || within(field, name)
}

/// The value as protobuf's JSON has it.
fn parse(field: &FieldDescriptor, text: &str) -> anyhow::Result<Value> {
    if field.is_list() && text.trim_start().starts_with('[') {
        return serde_json::from_str(text).context("must be a JSON array, or entries separated by commas");
    }
    if field.is_list() && !matches!(field.kind(), Kind::Message(_)) {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Ok(items.map(Value::from).collect());
    }
    Ok(match field.kind() {
        Kind::String => text.into(),
        Kind::Bool if text.is_empty() => false.into(),
        Kind::Bool => text.parse::<bool>().context("must be true or false")?.into(),
        Kind::Int32 | Kind::Int64 if text.is_empty() => 0.into(),
        Kind::Int32 | Kind::Int64 => text.parse::<i64>().context("must be a whole number")?.into(),
        Kind::Enum(values) => {
            let known: Vec<_> = words(&values).collect();
            match known.iter().find(|(word, _)| word == text) {
                Some((_, name)) => name.as_str().into(),
                None if text.is_empty() => 0.into(),
                None => {
                    let known: Vec<_> = known.into_iter().map(|(word, _)| word).collect();
                    bail!("must be one of: {}", known.join(", "))
                }
            }
        }
        Kind::Message(_) if text.is_empty() => Value::Object(Map::new()),
        Kind::Message(_) => serde_json::from_str(text).context("must be JSON")?,
        other => bail!("cannot be set from the command line: {other:?}"),
    })
}

/// A row for each field that holds something, by its path.
fn flatten(message: &MessageDescriptor, prefix: &str, value: &Value, rows: &mut Vec<[String; 2]>) {
    for field in message.fields() {
        let path = format!("{prefix}{}", field.name());
        let value = &value[field.json_name()];
        match (field.kind(), value) {
            (Kind::Message(inner), Value::Object(_)) if inner.package_name() == "herald.v1" => {
                flatten(&inner, &format!("{path}."), value, rows);
            }
            (_, Value::Null | Value::Bool(false)) => {}
            (Kind::Enum(values), Value::String(name)) => {
                let word = enum_text(name, &values);
                if !word.is_empty() {
                    rows.push([path, word]);
                }
            }
            (_, Value::String(text)) if !text.is_empty() => rows.push([path, text.clone()]),
            (_, Value::Array(items)) if !items.is_empty() => {
                rows.push([path, joined(items)]);
            }
            (_, Value::Number(number)) if number.as_i64() != Some(0) => rows.push([path, number.to_string()]),
            (_, Value::Bool(true)) => rows.push([path, "true".to_owned()]),
            (_, Value::Object(object)) if !object.is_empty() => rows.push([path, value.to_string()]),
            _ => {}
        }
    }
}
