//! `herald config get` and `set`: the tenant's configuration, through a running server.
//!
//! A field is named by its path in `herald.v1.AgentConfig`, such as `sender.email`; its value is read by the field's type, as
//! the descriptors say it, so that a new field is there without a line here.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::client::{Connection, explain};
use super::output::{table, to_json, to_value};
use super::words::{word_of, words};
use crate::pb;
use crate::terminal::{self, say, tell};

#[derive(Args)]
pub(super) struct GetArgs {
    #[command(flatten)]
    connection: Connection,
    /// Only this field, such as sender.email; all if left out.
    field: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct SetArgs {
    #[command(flatten)]
    connection: Connection,
    /// The fields and their new values, such as sender.email=grace@example.com industries=Farming,Gardening
    /// auto_approve=true controls.working_hours='{"start":{"hours":9},"end":{"hours":17}}'. Lists are separated by commas or
    /// a JSON array, objects are JSON and replace what was there as a whole, an empty value clears. `smtp.password=-` reads the password from standard input.
    #[arg(required = true, value_name = "FIELD=VALUE")]
    fields: Vec<String>,
    /// Only if the configuration still has this etag.
    #[arg(long, default_value = "")]
    etag: String,
    /// Print the changed configuration as JSON.
    #[arg(long)]
    json: bool,
}

const MESSAGE: &str = "herald.v1.AgentConfig";
const PASSWORD: &str = "smtp.password";

pub(super) fn get(args: &GetArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = runtime.block_on(async {
        let mut api = args.connection.open().await?;
        let answer = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.map_err(|s| explain(&s))?;
        anyhow::Ok(answer.into_inner().config.unwrap_or_default())
    })?;
    match &args.field {
        Some(field) if field == PASSWORD => {
            bail!("the password never comes out; smtp.has_password tells whether there is one")
        }
        Some(field) => {
            let path = find(field)?;
            let value = to_value(MESSAGE, &config)?;
            let at = path.iter().fold(&value, |at, field| &at[field.json_name()]);
            match (at, path.last().map(FieldDescriptor::kind)) {
                (Value::String(name), Some(Kind::Enum(values))) if !args.json => {
                    say!("{}", word_of(name, values.default_value().name()));
                }
                (Value::String(text), _) if !args.json => say!("{text}"),
                (other, _) => say!("{}", terminal::json(&other.to_string())),
            }
        }
        None => show(&config, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn set(args: &SetArgs) -> anyhow::Result<ExitCode> {
    let (mut values, mut paths) = (Value::Object(Map::new()), Vec::new());
    for field in &args.fields {
        let (name, text) = field.split_once('=').with_context(|| format!("{field}: write FIELD=VALUE"))?;
        let path = find(name)?;
        let text = if name == PASSWORD && text == "-" { &read_password()? } else { text };
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
    let update_mask = Some(prost_types::FieldMask { paths });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let config = runtime.block_on(async {
        let mut api = args.connection.open().await?;
        let request = pb::UpdateAgentConfigRequest { config: Some(config), update_mask };
        let answer = api.agent.update_agent_config(request).await.map_err(|s| explain(&s))?;
        anyhow::Ok(answer.into_inner().config.unwrap_or_default())
    })?;
    if args.json {
        show(&config, true)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The fields on the way to `name`.
fn find(name: &str) -> anyhow::Result<Vec<FieldDescriptor>> {
    let mut message = pb::descriptor(MESSAGE).context("no message of the configuration")?;
    let mut path = Vec::new();
    for part in name.split('.') {
        let Some(field) = message.get_field_by_name(part) else {
            let known: Vec<_> = message.fields().map(|field| field.name().to_owned()).collect();
            bail!("{name}: there is no field {part:?}; known are: {}", known.join(", "));
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

fn read_password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        tell!("the password, then Ctrl-D:");
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("standard input")?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("standard input holds no password; `{PASSWORD}=` removes the one that there is");
    }
    Ok(text.to_owned())
}

fn show(config: &pb::AgentConfig, json: bool) -> anyhow::Result<()> {
    if json {
        say!("{}", to_json(MESSAGE, config)?);
        return Ok(());
    }
    let value = to_value(MESSAGE, config)?;
    let mut rows = Vec::new();
    let message = pb::descriptor(MESSAGE).context("no message of the configuration")?;
    flatten(&message, "", &value, &mut rows);
    say!("{}", table(["field", "value"], &rows));
    Ok(())
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
            (Kind::Enum(values), Value::String(name)) if name != values.default_value().name() => {
                rows.push([path, word_of(name, values.default_value().name())]);
            }
            (Kind::Enum(_), _) => {}
            (_, Value::String(text)) if !text.is_empty() => rows.push([path, text.clone()]),
            (_, Value::Array(items)) if !items.is_empty() => {
                let texts = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
                rows.push([path, texts.collect::<Vec<_>>().join(", ")]);
            }
            (_, Value::Number(number)) if number.as_i64() != Some(0) => rows.push([path, number.to_string()]),
            (_, Value::Bool(true)) => rows.push([path, "true".to_owned()]),
            (_, Value::Object(object)) if !object.is_empty() => rows.push([path, value.to_string()]),
            _ => {}
        }
    }
}
