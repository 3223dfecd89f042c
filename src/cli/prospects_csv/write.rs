//! Writes prospects as CSV that can be imported again, and that is safe for spreadsheets.

use std::io;

use super::fields::{COLUMNS, get};
use super::guard::safe;
use crate::pb;

/// Writes prospects.
pub(in crate::cli) struct CsvWriter<W: io::Write> {
    writer: csv::Writer<W>,
}

impl<W: io::Write> CsvWriter<W> {
    /// For Excel it begins with a byte order mark, without which Excel takes UTF-8 for the encoding of the country.
    pub(in crate::cli) fn new(mut out: W, for_excel: bool) -> anyhow::Result<Self> {
        if for_excel {
            out.write_all("\u{feff}".as_bytes())?;
        }
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(COLUMNS)?;
        Ok(Self { writer })
    }

    pub(in crate::cli) fn write(&mut self, prospect: &pb::Prospect) -> anyhow::Result<()> {
        Ok(self.writer.write_record(COLUMNS.map(|column| safe(&get(prospect, column))))?)
    }

    pub(in crate::cli) fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }
}
