//! Prospects in CSV files, as people have them: reading and writing them.
//!
//! The file is read twice: first all of it is checked, as the server would, and every fault is told by line and column;
//! only if there is none, it is imported. It is never held in memory, so it may be of any size.

mod cells;
mod columns;
mod decode;
mod fields;
mod guard;
mod languages;
mod letters;
mod synonyms;
#[cfg(test)]
mod tests;
mod write;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use encoding_rs::Encoding;

use cells::{Cells, Fault};
use columns::Columns;
use decode::Decoded;

use super::client::Api;
use super::import::{self, BATCH_BYTES, BATCH_ROWS, MOST_FAULTS, Rows};
use super::input::Source;
use super::render::Progress;
use crate::pb;
use crate::rpc::prospect_faults;

pub(super) use fields::filled;
pub(super) use write::CsvWriter;

/// How a CSV file is read.
#[derive(Args, Clone, Debug, Default)]
pub struct CsvArgs {
    /// What the CSV file is written in, by a label of the Encoding Standard: windows-1252, utf-16, gbk, shift_jis …;
    /// UTF-8 if left out. A byte order mark in the file comes first.
    #[arg(long, value_name = "LABEL", value_parser = decode::encoding)]
    pub encoding: Option<&'static Encoding>,
    /// A column of the CSV file and the field that it goes into, also first_name or last_name; nothing after the = leaves the
    /// column out. Can be given several times; usual names in English, German and Chinese are known without.
    #[arg(long, value_name = "COLUMN=FIELD", value_parser = columns::mapping)]
    pub map: Vec<(String, String)>,
    /// Refuse a CSV file with columns that have no place in a prospect, instead of leaving them out.
    #[arg(long)]
    pub strict: bool,
    /// Pass over the rows in which something is wrong, and tell them, instead of refusing the whole file.
    #[arg(long)]
    pub skip_broken: bool,
}

/// A file that has been checked.
pub(super) struct ProspectsCsv<'a> {
    source: &'a Source,
    args: &'a CsvArgs,
    pub(super) rows: Rows,
    /// Each column that has a place, and the field that it goes into.
    pub(super) columns: Vec<(String, &'static str)>,
    /// Those that have none.
    pub(super) left_out: Vec<String>,
    /// The same for the person to see; empty if nothing is left out.
    told: String,
}

/// The rows of a file, a batch at a time.
struct Batches {
    name: String,
    cells: Cells,
    columns: Columns,
    row: cells::Row,
    /// Columns without a name in which something stands.
    nameless: Vec<usize>,
    /// A row that did not fit into the last batch.
    left_over: Option<pb::Prospect>,
    skip_broken: bool,
}

/// A row, or what is wrong with it.
type Row = Result<pb::Prospect, Vec<String>>;

impl CsvArgs {
    /// Whether something is said that is for CSV files alone.
    pub(super) fn is_given(&self) -> bool {
        self.encoding.is_some() || !self.map.is_empty() || self.strict
    }
}

impl<'a> ProspectsCsv<'a> {
    /// Checks the whole file. The error names each fault, `file:line: column "name": what is wrong`.
    pub(super) fn check(source: &'a Source, args: &'a CsvArgs) -> anyhow::Result<Self> {
        let mut batches = Batches::open(source, args)?;
        let (mut rows, mut faults, mut count) = (Rows::by("line"), Vec::new(), 0);
        loop {
            match batches.row() {
                Ok(None) => break,
                Ok(Some(Ok(row))) => rows.note(&row, batches.row.line()),
                Ok(Some(Err(found))) if args.skip_broken => rows.note_broken(found),
                Ok(Some(Err(found))) => {
                    count += found.len();
                    faults.extend(found.into_iter().take(MOST_FAULTS - faults.len()));
                }
                // Read as something else, all of it may be different.
                Err(fault @ (Fault::Io(_) | Fault::Encoding { .. })) => return Err(batches.told(fault)),
                Err(fault @ Fault::Grammar { .. }) => {
                    count += 1;
                    // The last, and told in any case: it may be the cause of the others.
                    faults.truncate(MOST_FAULTS - 1);
                    faults.push(batches.told(fault).to_string());
                    break;
                }
            }
        }
        if !faults.is_empty() {
            return Err(import::refusal(&source.name, faults, count));
        }
        if rows.count == 0 && rows.broken > 0 {
            return Err(import::refusal(&source.name, rows.faults, usize::try_from(rows.broken).unwrap_or(usize::MAX)));
        }
        if rows.count == 0 {
            bail!("{} has a header and no prospects", source.name);
        }
        let told = batches.columns.told(&batches.nameless);
        if args.strict && !told.is_empty() {
            bail!("{}:1: {told}, and --strict is given", source.name);
        }
        let (columns, left_out) = (batches.columns.placed(), batches.columns.left_out(&batches.nameless));
        Ok(Self { source, args, rows, columns, left_out, told })
    }

    /// What is left out, what is broken and what stands there twice, a line each.
    pub(super) fn notes(&self) -> Vec<String> {
        let left_out = (!self.told.is_empty()).then(|| format!("left out: {}", self.told));
        left_out.into_iter().chain(self.rows.notes()).collect()
    }

    /// Imports the checked rows, and says what is left out.
    pub(super) async fn import(
        &self,
        api: &mut Api,
        progress: &Progress,
    ) -> anyhow::Result<pb::BatchCreateProspectsResponse> {
        self.notes().iter().for_each(|note| progress.say(note));
        let mut batches = Batches::open(self.source, self.args)?;
        import::import(api, &self.rows, move || batches.next(), progress).await
    }
}

impl Batches {
    /// Opens the file and reads its header with the separator with which most of it is known.
    fn open(source: &Source, args: &CsvArgs) -> anyhow::Result<Self> {
        let name = source.name.clone();
        if is_spreadsheet(&source.path) {
            bail!("{name} is a spreadsheet: save it as CSV there, and give that file");
        }
        let mut best: Option<((usize, usize), Cells, cells::Row)> = None;
        let mut refused = None;
        for separator in [b',', b';', b'\t', b'|'] {
            let file = File::open(&source.path).with_context(|| format!("cannot open {name}"))?;
            let file = Decoded::new(file, args.encoding).with_context(|| format!("cannot read {name}"))?;
            let mut cells = Cells::new(file, separator);
            match header(&mut cells) {
                Ok(header) => {
                    let score = (columns::known(&header, &args.map), header.len());
                    if best.as_ref().is_none_or(|(known, ..)| score > *known) {
                        best = Some((score, cells, header));
                    }
                }
                // The one that gets furthest is told: it takes the header apart.
                Err(fault) if refused.as_ref().is_none_or(|known: &Fault| fault.column() > known.column()) => {
                    refused = Some(fault);
                }
                Err(_) => {}
            }
        }
        // A file that cannot be read with one of them may be read with another, but not as one unknown name.
        let Some((_, cells, header)) = best.filter(|((known, _), ..)| *known > 0 || refused.is_none()) else {
            let why = refused.map(|fault| told(&name, None, fault));
            return Err(why.unwrap_or_else(|| anyhow!("cannot read {name}")));
        };
        if header.is_empty() {
            bail!("{name} is empty; its first line must name the columns, of which \"email\" is required");
        }
        let columns = Columns::new(&header, &args.map, args.strict)
            .map_err(|what| anyhow!("{name}:{}: {what}", header.line()))?;
        let (row, nameless, skip_broken) = (cells::Row::default(), Vec::new(), args.skip_broken);
        Ok(Self { name, cells, columns, row, nameless, left_over: None, skip_broken })
    }

    /// The next batch; None at the end of the file.
    fn next(&mut self) -> anyhow::Result<Option<Vec<pb::Prospect>>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        if let Some(row) = self.left_over.take() {
            bytes += prost::Message::encoded_len(&row);
            batch.push(row);
        }
        while batch.len() < BATCH_ROWS {
            let row = self.row();
            let Some(row) = row.map_err(|fault| self.told(fault))? else { break };
            if row.is_err() && self.skip_broken {
                continue;
            }
            let row =
                row.map_err(|faults| anyhow!("{} has changed while it was read: {}", self.name, faults.join("; ")))?;
            bytes += prost::Message::encoded_len(&row);
            if bytes > BATCH_BYTES && !batch.is_empty() {
                self.left_over = Some(row);
                break;
            }
            batch.push(row);
        }
        Ok((!batch.is_empty()).then_some(batch))
    }

    /// The next row, or its faults; None at the end of the file. A line with nothing in any column is no row.
    fn row(&mut self) -> Result<Option<Row>, Fault> {
        while self.cells.read(&mut self.row)? {
            if !self.row.is_empty() {
                return Ok(Some(self.parse()));
            }
        }
        Ok(None)
    }

    fn parse(&mut self) -> Row {
        if let Some(what) = self.misfit() {
            return Err(vec![format!("{}:{}: {what}", self.name, self.row.line())]);
        }
        for column in (0..self.row.len()).filter(|column| !self.row.cell(*column).is_empty()) {
            if self.columns.is_nameless(column) && !self.nameless.contains(&column) {
                self.nameless.push(column);
            }
        }
        let mut row = pb::Prospect { source: "csv import".to_owned(), ..Default::default() };
        let mut faults = Vec::new();
        for field in self.columns.fields() {
            let text = field.text(|column| guard::plain(self.row.cell(column)));
            if let Err(what) = fields::set(&mut row, field.name, text.trim()) {
                // A column of that name may hold what somebody else means by it.
                let column = field.columns().next().map(|column| self.columns.name(column).replace('"', ""));
                let column = column.unwrap_or_default();
                faults.push(self.at(field.name, &format!("{what}; or leave the column out with --map \"{column}=\"")));
            }
        }
        if faults.is_empty() {
            faults = prospect_faults(row.clone()).iter().map(|v| self.at(&v.field, &v.description)).collect();
        }
        if faults.is_empty() { Ok(row) } else { Err(faults) }
    }

    /// What is wrong if the row has not the cells that the header has. Columns without a name may be missing, and cells
    /// without a text too many: spreadsheets end lines as they like.
    fn misfit(&self) -> Option<String> {
        let (found, wanted) = (self.row.len(), self.columns.len());
        let too_many = (wanted..found).any(|column| !self.row.cell(column).is_empty());
        let too_few = (found..wanted).any(|column| !self.columns.is_nameless(column));
        if !too_many && !too_few {
            return None;
        }
        let hint = if self.row.cells().any(|cell| cell.contains('\n')) {
            "; a quote may not be closed"
        } else if too_many {
            "; put cells that hold the separator in quotes"
        } else {
            ""
        };
        Some(format!("has {found} field{}, the header {wanted}{hint}", if found == 1 { "" } else { "s" }))
    }

    /// Where a field stands, and what is wrong with it.
    fn at(&self, field: &str, what: &str) -> String {
        let base = field.split('[').next().unwrap_or_default();
        let columns = self.columns.fields().iter().find(|f| f.name == base);
        let columns: Vec<_> = columns.into_iter().flat_map(columns::Field::columns).collect();
        let line = columns.first().map_or_else(|| self.row.line(), |column| self.row.line_of(*column));
        let names: Vec<_> = columns.iter().map(|column| self.columns.name(*column)).collect();
        let plural = if names.len() > 1 { "s" } else { "" };
        let names = if names.is_empty() { format!("{field:?}") } else { names.join(" and ") };
        format!("{}:{line}: column{plural} {names}: {what}", self.name)
    }

    fn told(&self, fault: Fault) -> anyhow::Error {
        told(&self.name, Some(&self.columns), fault)
    }
}

/// Whether a file is a workbook of Excel or LibreOffice: an archive, or what Excel wrote before there were archives.
fn is_spreadsheet(path: &Path) -> bool {
    let mut begin = Vec::new();
    let _ = File::open(path).map(|file| file.take(4).read_to_end(&mut begin));
    matches!(begin.as_slice(), b"PK\x03\x04" | b"\xd0\xcf\x11\xe0")
}

/// The first row in which something stands, but for the line with which Excel is told the separator.
fn header(cells: &mut Cells) -> Result<cells::Row, Fault> {
    let mut row = cells::Row::default();
    while cells.read(&mut row)? {
        let is_hint = row.cell(0).to_lowercase().starts_with("sep=") && row.len() <= 2;
        if !row.is_empty() && !is_hint {
            break;
        }
    }
    Ok(row)
}

fn told(name: &str, columns: Option<&Columns>, fault: Fault) -> anyhow::Error {
    let at = |line, column: usize, what| {
        let column = columns.map_or_else(|| column.to_string(), |columns| columns.name(column.saturating_sub(1)));
        anyhow!("{name}:{line}: column {column}: {what}")
    };
    match fault {
        Fault::Io(error) => anyhow::Error::from(error).context(format!("cannot read {name}")),
        Fault::Encoding { line, column, what } | Fault::Grammar { line, column, what } => at(line, column, what),
    }
}
