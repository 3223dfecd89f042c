//! Answers on standard output: JSON for programs, tables for people.

use anyhow::Context as _;
use prost::Message;
use serde::Serialize;

use crate::pb;
use crate::terminal::{self, line};

/// A count with its noun: `1 prospect`, `2 prospects`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// The longest cell of a table, in characters.
const MAX_CELL: usize = 40;

/// As protobuf's JSON mapping writes a message.
pub(super) fn to_json(name: &str, message: &impl Message) -> anyhow::Result<String> {
    pretty(&to_value(name, message)?)
}

/// JSON for people and programs, which a terminal does not obey.
pub(super) fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(terminal::json(&serde_json::to_string_pretty(value)?).into_owned())
}

/// The same as a value.
pub(super) fn to_value(name: &str, message: &impl Message) -> anyhow::Result<serde_json::Value> {
    pb::json(name, message).with_context(|| format!("no message {name}"))
}

/// Columns as wide as they need to be, two spaces apart; cells that are too long are cut, and each is one line.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let cells = |row: &[String; N]| row.each_ref().map(|cell| shown(cell));
    let rows: Vec<[String; N]> = rows.iter().map(cells).collect();
    let mut widths = header.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let joined = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![joined(header)];
    lines.extend(rows.iter().map(|row| joined(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

fn shown(cell: &str) -> String {
    let plain = line(cell);
    if plain.chars().count() <= MAX_CELL {
        return plain.into_owned();
    }
    // Cut in between, a bidirectional control would be open.
    let cut: String = plain.chars().take(MAX_CELL - 1).collect();
    line(&cut).into_owned() + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be_and_no_cell_is_too_long() {
        let rows = [["a\tb".to_owned(), "x".repeat(50)], ["longer".to_owned(), String::new()]];
        let expected = format!("id      name\na b     {}…\nlonger", "x".repeat(39));
        assert_eq!(table(["id", "name"], &rows), expected);
    }
}
