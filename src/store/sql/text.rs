//! A text as each engine spells it, and what is seen of it when it is compiled.

use super::tables::Tables;

/// A text as each engine spells it.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    pub name: &'static str,
    pub sqlite: &'static str,
    /// Empty for what SQLite alone is told.
    pub postgres: &'static str,
    /// The tables that it names.
    pub tables: Tables,
    /// Whether it changes rows.
    pub changes: bool,
    parameters: u8,
}

// === impl Text ===

impl Text {
    pub(in crate::store) const fn new(name: &'static str, sqlite: &'static [u8], postgres: &'static [u8]) -> Self {
        let (sqlite, postgres) = (as_text(sqlite), as_text(postgres));
        let tables = tables(sqlite);
        let parameters = parameters(sqlite);
        assert!(tables.equals(self::tables(postgres)), "both spellings must name the same tables");
        assert!(parameters == self::parameters(postgres), "both spellings must have the same parameters");
        Self { name, sqlite, postgres, tables, changes: changes(sqlite), parameters }
    }

    /// What SQLite alone is told.
    pub(super) const fn of_sqlite(name: &'static str, sqlite: &'static str) -> Self {
        let (tables, changes, parameters) = (Tables::named_in(sqlite), changes(sqlite), parameters(sqlite));
        Self { name, sqlite, postgres: "", tables, changes, parameters }
    }

    /// How many values it is given.
    pub(super) fn parameters(&self) -> usize {
        self.parameters.into()
    }
}

#[expect(clippy::panic, reason = "only while it is compiled")]
const fn as_text(bytes: &'static [u8]) -> &'static str {
    match str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => panic!("a text is UTF-8"),
    }
}

/// How many parameters the text has: each `$n` from 1 to the highest stands in it.
const fn parameters(text: &str) -> u8 {
    let bytes = text.as_bytes();
    let (mut i, mut most, mut there) = (0, 0, 0_u64);
    while i < bytes.len() {
        if bytes[i] == b'$' && i + 1 < bytes.len() && bytes[i + 1].is_ascii_digit() {
            let mut n = 0;
            i += 1;
            while i < bytes.len() && bytes[i].is_ascii_digit() {
                n = n * 10 + (bytes[i] - b'0');
                i += 1;
            }
            there |= 1 << n;
            if n > most {
                most = n;
            }
        } else {
            i += 1;
        }
    }
    assert!(there == (2_u64 << most) - 2 || most == 0, "a text's parameters are numbered without gaps");
    most
}

/// Those that the text names, and if it changes rows those that triggers change with them.
const fn tables(text: &str) -> Tables {
    let tables = Tables::named_in(text);
    if changes(text) { tables.with_counts() } else { tables }
}

/// Whether the text may change rows: whatever does not begin as a query does.
const fn changes(text: &str) -> bool {
    let (text, query) = (text.as_bytes(), b"SELECT ");
    let mut i = 0;
    while i < query.len() {
        if i == text.len() || text[i] != query[i] {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_by_their_highest_number() {
        assert_eq!(parameters("a = $1 AND b = $3 OR c = $2"), 3);
        assert_eq!(parameters("nothing"), 0);
    }

    #[test]
    #[should_panic(expected = "without gaps")]
    fn a_parameter_that_is_left_out_is_found() {
        parameters("a = $1 AND b = $3");
    }

    #[test]
    fn whatever_does_not_begin_as_a_query_changes_rows() {
        assert!(!changes("SELECT 1 FROM prospects"));
        for text in
            ["UPDATE prospects SET id = 1", "WITH x AS (SELECT 1) DELETE FROM prospects", "SELECTED", "SELECT", ""]
        {
            assert!(changes(text), "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "the same parameters")]
    fn spellings_that_bind_other_parameters_are_refused() {
        let _ = Text::new("X", b"SELECT $1, $2 FROM prospects", b"SELECT $1 FROM prospects");
    }

    #[test]
    #[should_panic(expected = "the same tables")]
    fn spellings_that_name_other_tables_are_refused() {
        let _ = Text::new("X", b"SELECT 1 FROM prospects", b"SELECT 1 FROM emails");
    }
}
