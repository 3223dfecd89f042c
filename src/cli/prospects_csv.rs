//! Prospects in CSV files: reading and writing them.
//!
//! The file is read twice: first all of it is checked, as the server would, and every fault is told by line and column;
//! only if there is none, it is imported. It is never held in memory, so it may be of any size.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::import::{self, BATCH_BYTES, BATCH_ROWS, MOST_FAULTS};
use crate::domain::text::lower_name;
use crate::pb;
use crate::rpc::prospect_faults;

/// The columns that a file may have, in any order; `email` is required.
pub(super) const COLUMNS: [&str; 20] = [
    "email",
    "company",
    "contact_name",
    "position",
    "industry",
    "location",
    "business_size",
    "source_url",
    "notes",
    "tags",
    "language",
    "source",
    "status",
    "conversion_probability",
    "priority_score",
    "next_action",
    "potential_interest",
    "discovery_context",
    "manual_intervention",
    "auto_reply_enabled",
];

/// A file that has been checked.
pub(super) struct ProspectsCsv<'a> {
    path: &'a Path,
    /// How many prospects it holds.
    pub rows: u64,
}

/// The rows of a file, a batch at a time.
struct Batches {
    name: String,
    reader: Reader<CountsQuotes>,
    columns: Vec<&'static str>,
    record: ByteRecord,
    /// A row that did not fit into the last batch.
    left_over: Option<pb::Prospect>,
}

/// A file that counts the quotes that are read of it.
struct CountsQuotes {
    file: File,
    count: u64,
}

impl io::Read for CountsQuotes {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.count += into[..read].iter().filter(|byte| **byte == b'"').count() as u64;
        Ok(read)
    }
}

/// A row, or what is wrong with it.
type Row = Result<pb::Prospect, Vec<String>>;

impl<'a> ProspectsCsv<'a> {
    /// Checks the whole file. The error names each fault, `file:line: column "name": what is wrong`.
    pub(super) fn check(path: &'a Path) -> anyhow::Result<Self> {
        let mut batches = Batches::open(path)?;
        let (mut rows, mut faults, mut count) = (0, Vec::new(), 0);
        while let Some(row) = batches.row()? {
            match row {
                Ok(_) => rows += 1,
                Err(found) => {
                    count += found.len();
                    faults.extend(found.into_iter().take(MOST_FAULTS - faults.len()));
                }
            }
        }
        if batches.has_open_quote() {
            let line = batches.record.position().map_or(0, csv::Position::line);
            count += 1;
            faults.insert(0, format!("{}:{line}: a quote is opened here or later, and never closed", batches.name));
            faults.truncate(MOST_FAULTS + 1);
        }
        if !faults.is_empty() {
            return Err(import::refusal(path, faults, count));
        }
        if rows == 0 {
            bail!("{} has a header and no prospects", path.display());
        }
        Ok(Self { path, rows })
    }

    /// The checked rows.
    pub(super) fn batches(&self) -> anyhow::Result<impl import::Batches> {
        let mut batches = Batches::open(self.path)?;
        Ok(move || batches.next())
    }
}

/// Writes prospects with the columns that can be imported again.
pub(super) struct CsvWriter<W: io::Write> {
    writer: csv::Writer<W>,
}

impl<W: io::Write> CsvWriter<W> {
    pub(super) fn new(out: W) -> anyhow::Result<Self> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self { writer })
    }

    pub(super) fn write(&mut self, prospect: &pb::Prospect) -> anyhow::Result<()> {
        Ok(self.writer.write_record(COLUMNS.map(|column| safe(&get(prospect, column))))?)
    }

    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }
}

/// The column of a row, as `set` reads it.
fn get(row: &pb::Prospect, column: &str) -> String {
    match column {
        "email" => row.email.clone(),
        "company" => row.company.clone(),
        "contact_name" => row.contact_name.clone(),
        "position" => row.position.clone(),
        "industry" => row.industry.clone(),
        "location" => row.location.clone(),
        "business_size" => row.business_size.clone(),
        "source_url" => row.source_url.clone(),
        "notes" => row.notes.clone(),
        "language" => row.language.clone(),
        "source" => row.source.clone(),
        "status" => lower_name(row.status().as_str_name(), "PROSPECT_STATUS_"),
        "conversion_probability" => row.conversion_probability.map(|n| n.to_string()).unwrap_or_default(),
        "priority_score" if row.priority_score == 0 => String::new(),
        "priority_score" => row.priority_score.to_string(),
        "next_action" => row.next_action.clone(),
        "potential_interest" => row.potential_interest.clone(),
        "discovery_context" => row.discovery_context.clone(),
        "manual_intervention" if !row.manual_intervention => String::new(),
        "manual_intervention" => "true".to_owned(),
        "auto_reply_enabled" => row.auto_reply_enabled.map(|on| on.to_string()).unwrap_or_default(),
        _ if row.tags.iter().any(|tag| tag.contains(';')) => serde_json::json!(row.tags).to_string(),
        _ => row.tags.join(";"),
    }
}

impl Batches {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("cannot open {name}"))?;
        // With CRLF as the terminator the reader counts lines wrongly; this way a CR ends up in the last field, which is trimmed.
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(CountsQuotes { file, count: 0 });
        let header = reader.byte_headers().with_context(|| format!("cannot read {name}"))?.clone();
        let columns = columns(&name, &header)?;
        Ok(Self { name, reader, columns, record: ByteRecord::new(), left_over: None })
    }

    /// Whether what was read ends within quotes: then there is an odd number of them (RFC 4180).
    fn has_open_quote(&self) -> bool {
        !self.reader.get_ref().count.is_multiple_of(2)
    }

    /// The next batch; None at the end of the file.
    fn next(&mut self) -> anyhow::Result<Option<Vec<pb::Prospect>>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        if let Some(row) = self.left_over.take() {
            bytes += prost::Message::encoded_len(&row);
            batch.push(row);
        }
        while batch.len() < BATCH_ROWS {
            let Some(row) = self.row()? else { break };
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
    fn row(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            let more = self.reader.read_byte_record(&mut self.record);
            if !more.with_context(|| format!("cannot read {}", self.name))? {
                return Ok(None);
            }
            if self.record.iter().any(|field| !field.trim_ascii().is_empty()) {
                let line = self.record.position().map_or(0, csv::Position::line);
                return Ok(Some(self.parse(line)));
            }
        }
    }

    fn parse(&self, line: u64) -> Row {
        let at = |column: &str, what: &str| format!("{}:{line}: column {column:?}: {what}", self.name);
        if self.record.len() != self.columns.len() {
            let (found, wanted) = (self.record.len(), self.columns.len());
            let hint = if self.record.iter().any(|field| field.contains(&b'\n')) {
                "; a quote may not be closed"
            } else if found > wanted {
                "; quote fields that hold a comma"
            } else {
                ""
            };
            let what = format!("has {found} field{}, the header {wanted}", if found == 1 { "" } else { "s" });
            return Err(vec![format!("{}:{line}: {what}{hint}", self.name)]);
        }
        let mut row = pb::Prospect { source: "csv import".to_owned(), ..Default::default() };
        let mut faults = Vec::new();
        for (column, bytes) in self.columns.iter().zip(self.record.iter()) {
            match std::str::from_utf8(bytes) {
                Ok(text) => {
                    if let Err(what) = set(&mut row, column, plain(text)) {
                        faults.push(at(column, &what));
                    }
                }
                Err(error) => {
                    let what = format!("is not UTF-8 at its byte {}; save the file as UTF-8", error.valid_up_to() + 1);
                    faults.push(at(column, &what));
                }
            }
        }
        if faults.is_empty() {
            faults = prospect_faults(row.clone()).iter().map(|v| at(&v.field, &v.description)).collect();
        }
        if faults.is_empty() { Ok(row) } else { Err(faults) }
    }
}

/// The columns of a header, or what is wrong with it.
fn columns(name: &str, header: &ByteRecord) -> anyhow::Result<Vec<&'static str>> {
    let known = COLUMNS.join(", ");
    let mut columns = Vec::new();
    for (i, bytes) in header.iter().enumerate() {
        let Ok(text) = std::str::from_utf8(bytes) else {
            bail!("{name}:1: column {}: the header is not UTF-8; save the file as UTF-8", i + 1);
        };
        let text = text.trim_start_matches('\u{feff}').trim().to_lowercase();
        let Some(column) = COLUMNS.iter().find(|c| **c == text) else {
            let hint = if text.contains(';') { "separate columns with commas; " } else { "" };
            bail!("{name}:1: column {}: {text:?} is no column; {hint}known are: {known}", i + 1);
        };
        if columns.contains(column) {
            bail!("{name}:1: column {}: {text:?} is there twice", i + 1);
        }
        columns.push(*column);
    }
    if !columns.contains(&"email") {
        bail!("{name}:1: there is no column \"email\"; the first line must name the columns, of: {known}");
    }
    Ok(columns)
}

/// Whether a spreadsheet would take the cell for a formula, or for something else than its text (OWASP, CSV Injection).
fn is_formula(text: &str) -> bool {
    text.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// The cell as it is safe in a spreadsheet.
fn safe(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

/// The cell as it was before it was made safe.
fn plain(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(text)
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

fn set(row: &mut pb::Prospect, column: &str, text: &str) -> Result<(), String> {
    let text = text.trim();
    let number = || text.parse::<i32>().map_err(|_| "must be a whole number".to_owned());
    match column {
        "source" if text.is_empty() => {}
        "source" => text.clone_into(&mut row.source),
        "status" if text.is_empty() => {}
        "status" => {
            let status = pb::ProspectStatus::from_str_name(&format!("PROSPECT_STATUS_{}", text.to_uppercase()));
            let status = status.ok_or("must be discovered, contacted, replied or converted")?;
            row.status = status.into();
        }
        "conversion_probability" if text.is_empty() => {}
        "conversion_probability" => row.conversion_probability = Some(number()?),
        "priority_score" if text.is_empty() => {}
        "priority_score" => row.priority_score = number()?,
        "next_action" => text.clone_into(&mut row.next_action),
        "potential_interest" => text.clone_into(&mut row.potential_interest),
        "discovery_context" => text.clone_into(&mut row.discovery_context),
        "manual_intervention" if text.is_empty() => {}
        "manual_intervention" => row.manual_intervention = boolean(text)?,
        "auto_reply_enabled" if text.is_empty() => {}
        "auto_reply_enabled" => row.auto_reply_enabled = Some(boolean(text)?),
        "email" => text.clone_into(&mut row.email),
        "company" => text.clone_into(&mut row.company),
        "contact_name" => text.clone_into(&mut row.contact_name),
        "position" => text.clone_into(&mut row.position),
        "industry" => text.clone_into(&mut row.industry),
        "location" => text.clone_into(&mut row.location),
        "business_size" => text.clone_into(&mut row.business_size),
        "source_url" => text.clone_into(&mut row.source_url),
        "notes" => text.clone_into(&mut row.notes),
        "language" => text.clone_into(&mut row.language),
        // Where a tag holds what separates tags, they are a JSON array.
        _ if text.starts_with('[') && serde_json::from_str::<Vec<String>>(text).is_ok() => {
            row.tags = serde_json::from_str(text).unwrap_or_default();
        }
        _ => row.tags = text.split(';').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) -> Result<u64, String> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("p.csv");
        std::fs::write(&path, bytes).expect("written");
        let told = |error: anyhow::Error| error.to_string().replace(&dir.path().display().to_string(), "");
        ProspectsCsv::check(&path).map(|csv| csv.rows).map_err(told)
    }

    #[test]
    fn a_good_file_is_counted() {
        let text = "\u{feff}email,Company,tags\r\na@example.com,\"Acme, Inc\",x;y\r\n\r\nb@example.com,,\r\n";
        assert_eq!(check(text.as_bytes()), Ok(2));
    }

    #[test]
    fn faults_are_told_by_line_and_column() {
        let long = "x".repeat(201);
        let text = format!(
            "email,company,language\na@example.com,A,en\nnobody,B,en\nc@example.com,{long},english?\nd@example.com,D\n"
        );
        let told = check(text.as_bytes()).expect_err("three bad rows");
        for fault in [
            "nothing of it was",
            "/p.csv:3: column \"email\": must be an e-mail address",
            "/p.csv:4: column \"company\": must be at most 200 characters",
            "/p.csv:4: column \"language\": must be an IETF language tag",
            "/p.csv:5: has 2 fields, the header 3",
        ] {
            assert!(told.contains(fault), "{fault} in:\n{told}");
        }
        // The same with CRLF and with the empty rows that spreadsheets leave.
        let windows = check(text.replace('\n', "\r\n").as_bytes()).expect_err("three bad rows");
        assert_eq!(windows, told);
        let rows = check(b"email,company\r\n,\r\nnobody,\r\n,,\r\n").expect_err("one bad row");
        assert!(rows.contains("p.csv:3: column \"email\"") && !rows.contains("p.csv:4"), "{rows}");
        let open = check(b"email,company\na@example.com,\"A\nb@example.com,B\n").expect_err("a quote is open");
        assert!(open.contains("p.csv:2: column \"company\""), "{open}");
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told_and_loses_no_row() {
        for text in [
            "email,company,notes\nq1@b.example,A,\"unclosed\nq2@b.example,B,hello\nq3@b.example,C,hello\n",
            "email,company,notes\nq1@b.example,A,x\nq2@b.example,B,\"open",
        ] {
            let told = check(text.as_bytes()).expect_err("a quote is open");
            assert!(told.contains("never closed"), "{told}");
        }
        assert_eq!(check(b"email,notes\na@b.example,\"two \"\"quotes\"\" and\na line\"\n"), Ok(1));
    }

    #[test]
    fn broken_text_is_told_by_line_and_column() {
        let told = check(b"email,company\na@example.com,A\nb@example.com,caf\xe9\n").expect_err("not UTF-8");
        assert!(told.contains("/p.csv:3: column \"company\": is not UTF-8 at its byte 4"), "{told}");
    }

    #[test]
    fn wrong_columns_are_told() {
        assert!(
            check(b"mail,company\n").expect_err("no such column").contains("/p.csv:1: column 1: \"mail\" is no column")
        );
        assert!(check(b"company\nA\n").expect_err("no email").contains("no column \"email\""));
        assert!(check(b"email;company\n").expect_err("semicolons").contains("separate columns with commas"));
        assert!(check(b"email,email\n").expect_err("twice").contains("twice"));
        assert!(check(b"").expect_err("empty").contains("no column \"email\""));
        assert!(check(b"email\n").expect_err("no rows").contains("no prospects"));
    }

    #[test]
    fn many_faults_are_counted_after_the_first_twenty() {
        let text = format!("email\n{}", "bad\n".repeat(30));
        let told = check(text.as_bytes()).expect_err("bad rows");
        assert!(told.ends_with("and 10 more"), "{told}");
        assert_eq!(told.matches("p.csv:").count(), 20);
    }
}
