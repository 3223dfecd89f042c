//! Answers on standard output: JSON for programs, tables for people.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use prost::{Message, Name};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::pb;
use crate::terminal::{self, line, say};

/// A count with its noun: `1 prospect`, `2 prospects`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What a command prints on standard output.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Json {
    /// Print the answer as one JSON document instead.
    #[arg(long)]
    pub json: bool,
}

/// The longest cell of a table on a terminal, in its columns.
const MAX_CELL: usize = 40;

/// Prints the API's answer as protobuf's JSON mapping writes it.
pub(super) fn say_json<M: Message + Name>(answer: &M) -> anyhow::Result<ExitCode> {
    say!("{}", pretty(&to_value(answer)?)?);
    Ok(ExitCode::SUCCESS)
}

/// The same in one line.
pub(super) fn say_json_line<M: Message + Name>(answer: &M) -> anyhow::Result<()> {
    say!("{}", terminal::json(&to_value(answer)?.to_string()));
    Ok(())
}

/// JSON for people and programs, which a terminal does not obey.
pub(super) fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(terminal::json(&serde_json::to_string_pretty(value)?).into_owned())
}

/// A message as protobuf's JSON mapping has it.
pub(super) fn to_value<M: Message + Name>(message: &M) -> anyhow::Result<serde_json::Value> {
    pb::json(&M::full_name(), message).with_context(|| format!("no message {}", M::full_name()))
}

/// Prints a list as a [`table`], or that there are none of what it lists.
pub(super) fn say_list<const N: usize>(what: &str, header: [&str; N], rows: &[[String; N]]) {
    if rows.is_empty() { say!("no {what}") } else { say!("{}", table(header, rows)) }
}

/// Columns as wide as they need to be, two spaces apart; on a terminal cells that are too long are cut, and each is one line. Where the
/// terminal is narrower than that, each row is a block of lines, and no cell is cut.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    columns(header, rows, terminal::width())
}

fn columns<const N: usize>(header: [&str; N], rows: &[[String; N]], width: usize) -> String {
    let whole = rows;
    // Where there is no terminal, whatever reads on wants all of it.
    let most = if width == usize::MAX { usize::MAX } else { MAX_CELL };
    let cells = |row: &[String; N]| row.each_ref().map(|cell| shown(cell, most));
    let rows: Vec<[String; N]> = rows.iter().map(cells).collect();
    let mut widths = header.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let joined = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| {
            let blanks = width.saturating_sub(cell.width());
            format!("{cell}{:blanks$}", "")
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![joined(header)];
    lines.extend(rows.iter().map(|row| joined(row.each_ref().map(String::as_str))));
    if lines.iter().any(|line| line.width() > width) {
        return whole.iter().map(|row| block(header, row)).collect::<Vec<_>>().join("\n\n");
    }
    lines.join("\n")
}

/// A row as lines, without what is empty.
fn block<const N: usize>(header: [&str; N], row: &[String; N]) -> String {
    let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
    cells.map(|(name, cell)| format!("{name}: {}", line(cell))).collect::<Vec<_>>().join("\n")
}

/// A cell in one line of at most so many columns of a terminal.
fn shown(cell: &str, most: usize) -> String {
    let plain = line(cell);
    if plain.width() <= most {
        return plain.into_owned();
    }
    let mut taken = 0;
    let fits = |c: &char| {
        taken += c.width().unwrap_or(0);
        taken < most
    };
    // Cut in between, a bidirectional control would be open.
    let cut: String = plain.chars().take_while(fits).collect();
    line(&cut).into_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be_and_no_cell_is_too_long() {
        let rows = [["a\tb".to_owned(), "x".repeat(50)], ["longer".to_owned(), String::new()]];
        let expected = format!("id      name\na b     {}…\nlonger", "x".repeat(39));
        assert_eq!(columns(["id", "name"], &rows, 80), expected);
    }

    #[test]
    fn wide_characters_take_two_columns_and_nothing_is_cut_without_a_terminal() {
        let rows = [["青禾".to_owned(), "x".to_owned()], ["ab".to_owned(), "青".repeat(30)]];
        let expected = format!("id    name\n青禾  x\nab    {}…", "青".repeat(19));
        assert_eq!(columns(["id", "name"], &rows, 80), expected);
        assert!(columns(["id", "name"], &rows, usize::MAX).ends_with(&"青".repeat(30)));
    }

    #[test]
    fn on_a_narrow_terminal_a_row_is_a_block_and_no_cell_is_cut() {
        let rows = [["a".to_owned(), "x".repeat(50)], ["longer".to_owned(), String::new()]];
        let expected = format!("id: a\nname: {}\n\nid: longer", "x".repeat(50));
        assert_eq!(columns(["id", "name"], &rows, 40), expected);
    }
}
