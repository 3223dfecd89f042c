//! `herald prospects …`: the tenant's prospects, from a running server.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use indicatif::MultiProgress;
use serde_json::json;

use super::client::{Api, Connection};
use super::import::{Rows, import};
use super::input::{Source, is_standard};
use super::output::{Json, counted, pretty, say_json, say_list, table, to_value};
use super::prospects_csv::{CsvArgs, CsvWriter, ProspectsCsv, filled};
use super::prospects_json::read_json;
use super::refusal::explain;
use super::render::Progress;
use super::words::Word as _;
use crate::pb;
use crate::terminal::{self, line, say, tell};

#[derive(Args)]
pub(super) struct ProspectsArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List prospects.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many; 0 means all.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        form: Json,
    },
    /// Count prospects, by how far each has got.
    Count(Json),
    /// Import prospects from a CSV or a JSON file. It is checked whole before anything is imported; addresses that the tenant
    /// has already are left as they are.
    ///
    /// CSV may be separated by commas, semicolons, tabs or bars, and its columns named as usual in English, German or Chinese. First
    /// and last names are joined, and so are city, region and country. Columns that have no place are left out, and told.
    Import {
        /// A file whose name ends with .csv or .tsv (its first line names the columns; `email` is required) or .json (as
        /// `export` writes it); - is standard input.
        file: PathBuf,
        /// The format; by the file's ending if left out, CSV on standard input.
        #[arg(long)]
        format: Option<Form>,
        #[command(flatten)]
        csv: CsvArgs,
        /// Read the file, say what would be imported of it, and send nothing; needs no server.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        form: Json,
    },
    /// Export prospects. CSV has what `import` takes, safe for spreadsheets: what would be read as a formula, or begins with an
    /// apostrophe, has one before it, which `import` takes away again. JSON has everything, exactly. On a terminal control
    /// characters are shown as such; in a file or a pipe CSV has them as they are.
    Export {
        /// The file to write, CSV or JSON by its ending; standard output if left out or -.
        file: Option<PathBuf>,
        /// The format; by the file's ending if left out, CSV on standard output.
        #[arg(long)]
        format: Option<Form>,
        /// Begin the CSV with a byte order mark, by which Excel knows UTF-8.
        #[arg(long)]
        excel: bool,
        #[command(flatten)]
        filter: Filter,
    },
}

/// How prospects are written in a file.
#[derive(Clone, Copy, ValueEnum)]
enum Form {
    Csv,
    Json,
}

/// Which prospects.
#[derive(Args)]
struct Filter {
    /// How far things have gone.
    #[arg(long)]
    status: Option<pb::ProspectStatus>,
    /// How they have taken to being written to.
    #[arg(long)]
    engagement: Option<pb::Engagement>,
    /// Those that a campaign has chosen.
    #[arg(long, value_name = "ID", default_value = "")]
    campaign: String,
    /// Those with a tag.
    #[arg(long, default_value = "")]
    tag: String,
    /// Those of an industry.
    #[arg(long, default_value = "")]
    industry: String,
    /// Those with a text in their name, company or address.
    #[arg(long, value_name = "TEXT", default_value = "")]
    query: String,
    /// Deleted ones too.
    #[arg(long)]
    deleted: bool,
    /// The most urgent first, instead of the newest.
    #[arg(long)]
    urgent: bool,
}

/// The rows of one call.
const PAGE: i32 = 500;

pub(super) fn prospects(args: ProspectsArgs) -> anyhow::Result<ExitCode> {
    let connection = args.connection;
    match args.command {
        Command::List { filter, limit, form } => {
            connection.run(async |mut api| list(&mut api, &filter, limit, form).await)
        }
        Command::Count(form) => connection.run(async |mut api| count(&mut api, form).await),
        Command::Import { file, format, csv, dry_run, form } => {
            let connection = (!dry_run).then_some(&connection);
            import_file(connection, &file, format, &csv, form)
        }
        Command::Export { file, format, excel, filter } => {
            let file = file.filter(|file| !is_standard(file));
            if let (None, Some(file)) = (format, file.as_deref().filter(|file| is_sheet(file))) {
                let name = file.display();
                bail!(
                    "{name} would be a workbook, and none is written: end the name with .csv (with --excel) or .json"
                );
            }
            let format = match file.as_deref().map_or(Ok(format.unwrap_or(Form::Csv)), |file| of_file(file, format))? {
                Form::Csv => Format::Csv { excel },
                Form::Json if excel => bail!("--excel is for CSV"),
                Form::Json => Format::Json,
            };
            connection.run(async |mut api| export(&mut api, &filter, file, format).await)
        }
    }
}

/// What a file's name ends with.
fn ending(file: &Path) -> String {
    file.extension().and_then(|ending| ending.to_str()).map(str::to_lowercase).unwrap_or_default()
}

/// Whether a file is a workbook of a spreadsheet by its name.
fn is_sheet(file: &Path) -> bool {
    ["xlsx", "xlsm", "xls", "ods"].contains(&ending(file).as_str())
}

/// The format of a file: what is said, or else what its name ends with.
fn of_file(file: &Path, said: Option<Form>) -> anyhow::Result<Form> {
    match (said, ending(file).as_str()) {
        (Some(form), _) => Ok(form),
        // A workbook is told as such when it is read.
        (None, "csv" | "tsv") => Ok(Form::Csv),
        (None, _) if is_sheet(file) => Ok(Form::Csv),
        (None, "json") => Ok(Form::Json),
        (None, _) if is_standard(file) => Ok(Form::Csv),
        (None, _) => {
            bail!(
                "{} ends with none of .csv, .tsv and .json: say what it is by --format csv or --format json",
                file.display()
            )
        }
    }
}

async fn list(api: &mut Api, filter: &Filter, limit: usize, form: Json) -> anyhow::Result<ExitCode> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut pages = Pages::new(filter, if form.json { pb::ProspectView::Full } else { pb::ProspectView::Basic });
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(page) = pages.next(api, limit - found.len()).await?
    {
        found.extend(page);
    }
    if !pages.over {
        tell!("there are more than these {limit}; --limit 0 shows all");
    }
    if form.json {
        return say_json(&pb::ListProspectsResponse { prospects: found, next_page_token: pages.request.page_token });
    }
    let row = |p: &pb::Prospect| {
        let status = p.status().word();
        let engagement = p.engagement().word();
        let deleted = if p.delete_time.is_some() { " (deleted)" } else { "" };
        let priority = if p.priority_score == 0 { String::new() } else { p.priority_score.to_string() };
        [
            p.id.clone(),
            p.email.clone(),
            p.company.clone(),
            p.contact_name.clone(),
            format!("{status}{deleted}"),
            engagement,
            priority,
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    say_list("prospects", ["id", "email", "company", "name", "status", "engagement", "priority"], &rows);
    Ok(ExitCode::SUCCESS)
}

async fn count(api: &mut Api, form: Json) -> anyhow::Result<ExitCode> {
    let answer = api.agent.count_prospects(pb::CountProspectsRequest {}).await.map_err(|s| explain(&s))?.into_inner();
    if form.json {
        return say_json(&answer);
    }
    let mut rows: Vec<_> = answer.counts.iter().map(|of| [of.status().word(), of.count.to_string()]).collect();
    rows.push(["all".to_owned(), answer.total_count.to_string()]);
    say!("{}", table(["status", "prospects"], &rows));
    Ok(ExitCode::SUCCESS)
}

/// Imports a file; without a connection, says what would be imported of it.
fn import_file(
    connection: Option<&Connection>,
    file: &Path,
    format: Option<Form>,
    args: &CsvArgs,
    form: Json,
) -> anyhow::Result<ExitCode> {
    let progress = Progress::new("", &MultiProgress::new());
    match of_file(file, format)? {
        Form::Csv => {
            let source = Source::of(file)?;
            let csv = ProspectsCsv::check(&source, args)?;
            let Some(connection) = connection else {
                return would_import(&csv.rows, &csv.columns, &csv.left_out, &csv.notes(), form);
            };
            connection.run(async |mut api| imported(csv.import(&mut api, &progress).await?, form))
        }
        Form::Json if args.is_given() => bail!("--encoding, --map and --strict are for CSV files"),
        Form::Json => {
            let (prospects, rows) = read_json(file, args.skip_broken)?;
            let notes: Vec<_> = rows.notes().collect();
            let Some(connection) = connection else { return would_import(&rows, &[], &[], &notes, form) };
            notes.iter().for_each(|note| progress.say(note));
            let batches = super::prospects_json::batches(prospects);
            connection.run(async |mut api| imported(import(&mut api, &rows, batches, &progress).await?, form))
        }
    }
}

/// What would be imported, with the columns of a CSV, the fields that they go into, and one row as it is understood.
fn would_import(
    rows: &Rows,
    columns: &[(String, &str)],
    left_out: &[String],
    notes: &[String],
    form: Json,
) -> anyhow::Result<ExitCode> {
    if form.json {
        let columns = columns.iter().map(|(column, field)| json!({ "column": column, "field": field }));
        let twice = rows.twice.iter().map(|(place, first)| json!({ "place": place, "first": first }));
        let columns: Vec<_> = columns.collect();
        let twice: Vec<_> = twice.collect();
        let sample = rows.first_row.as_ref().map(to_value).transpose()?;
        let answer = json!({
            "rows": rows.count, "prospects": rows.prospects(), "columns": columns, "leftOut": left_out, "twice": twice,
            "sample": sample, "broken": rows.broken, "faults": rows.faults,
        });
        say!("{}", pretty(&answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    if !columns.is_empty() {
        let columns: Vec<_> = columns.iter().map(|(column, field)| [column.clone(), (*field).to_owned()]).collect();
        say!("{}\n", table(["column", "field"], &columns));
    }
    notes.iter().for_each(|note| say!("{}", line(note)));
    say!("the first row is read as");
    rows.first_row.iter().flat_map(filled).for_each(|(field, text)| say!("  {field}: {}", line(&text)));
    let again = match rows.twice.len() {
        0 => String::new(),
        1 => "; 1 row is the same address again".to_owned(),
        more => format!("; {more} rows are the same addresses again"),
    };
    say!("{} would be sent{again}; nothing was", counted(rows.prospects(), "prospect"));
    Ok(ExitCode::SUCCESS)
}

fn imported(answer: pb::BatchCreateProspectsResponse, form: Json) -> anyhow::Result<ExitCode> {
    if form.json { say_json(&answer) } else { Ok(ExitCode::SUCCESS) }
}

#[derive(Clone, Copy)]
enum Format {
    Csv { excel: bool },
    Json,
}

async fn export(api: &mut Api, filter: &Filter, file: Option<PathBuf>, format: Format) -> anyhow::Result<ExitCode> {
    let mut pages = Pages::new(filter, pb::ProspectView::Full);
    // The first page before the file is touched: a refusal leaves it as it was.
    let first = pages.next(api, usize::MAX).await?;
    let name = file.as_ref().map_or_else(|| "standard output".to_owned(), |file| file.display().to_string());
    let out: Box<dyn Write> = match &file {
        Some(file) => Box::new(File::create(file).with_context(|| format!("cannot write {name}"))?),
        None => terminal::data(),
    };
    let exporter = Exporter::new(BufWriter::new(out), format)?;
    let count = write(api, pages, first, exporter).await.with_context(|| format!("{name} is not complete"))?;
    if file.is_some() {
        tell!("{} exported to {name}", counted(count as u64, "prospect"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn write(
    api: &mut Api,
    mut pages: Pages,
    first: Option<Vec<pb::Prospect>>,
    mut exporter: Exporter<impl Write>,
) -> anyhow::Result<usize> {
    let (mut page, mut count) = (first, 0);
    while let Some(prospects) = page {
        for prospect in &prospects {
            exporter.write(prospect)?;
        }
        count += prospects.len();
        page = pages.next(api, usize::MAX).await?;
    }
    exporter.finish()?;
    Ok(count)
}

/// A list of the API, written as its rows come.
const JSON_BEGIN: &[u8] = b"{\"prospects\": [\n";

/// Writes prospects in one format or the other.
enum Exporter<W: Write> {
    Csv(Box<CsvWriter<W>>),
    Json { out: W, begun: bool },
}

impl<W: Write> Exporter<W> {
    fn new(out: W, format: Format) -> anyhow::Result<Self> {
        Ok(match format {
            Format::Csv { excel } => Self::Csv(Box::new(CsvWriter::new(out, excel)?)),
            Format::Json => Self::Json { out, begun: false },
        })
    }

    fn write(&mut self, prospect: &pb::Prospect) -> anyhow::Result<()> {
        match self {
            Self::Csv(csv) => csv.write(prospect),
            Self::Json { out, begun } => {
                out.write_all(if *begun { b",\n" } else { JSON_BEGIN })?;
                *begun = true;
                let row = to_value(prospect)?.to_string();
                Ok(out.write_all(terminal::json(&row).as_bytes())?)
            }
        }
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(csv) => csv.finish(),
            Self::Json { mut out, begun } => {
                if !begun {
                    out.write_all(JSON_BEGIN)?;
                }
                out.write_all(b"\n], \"nextPageToken\": \"\"}\n")?;
                Ok(out.flush()?)
            }
        }
    }
}

/// The pages of a list.
struct Pages {
    request: pb::ListProspectsRequest,
    over: bool,
}

impl Pages {
    fn new(filter: &Filter, view: pb::ProspectView) -> Self {
        let request = pb::ListProspectsRequest {
            page_size: PAGE,
            page_token: String::new(),
            status: filter.status.unwrap_or_default().into(),
            campaign_id: filter.campaign.clone(),
            tag: filter.tag.clone(),
            industry: filter.industry.clone(),
            query: filter.query.clone(),
            engagement: filter.engagement.unwrap_or_default().into(),
            show_deleted: filter.deleted,
            order_by: if filter.urgent { "priority_score desc".to_owned() } else { String::new() },
            view: view.into(),
        };
        Self { request, over: false }
    }

    /// At most so many more; None after the last.
    async fn next(&mut self, api: &mut Api, most: usize) -> anyhow::Result<Option<Vec<pb::Prospect>>> {
        if self.over {
            return Ok(None);
        }
        self.request.page_size = i32::try_from(most).unwrap_or(PAGE).min(PAGE);
        let answer = api.agent.list_prospects(self.request.clone()).await.map_err(|status| explain(&status))?;
        let answer = answer.into_inner();
        self.over = answer.next_page_token.is_empty();
        self.request.page_token = answer.next_page_token;
        Ok(Some(answer.prospects))
    }
}
