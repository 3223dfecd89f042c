//! How each engine spells a text.
//!
//! Both engines are given the same text. Where they differ, it has a fragment in braces, which is replaced when it is
//! compiled: `{n}`, a number, by the way to the nth element of a JSON array, `{name}` by what [`FRAGMENTS`] says.

/// A fragment's name, and how SQLite and PostgreSQL spell it.
const FRAGMENTS: [(&str, &str, &str); 7] = [
    // A row for each element of a JSON array, in the column `value`.
    ("elements", "jsonb_each", "jsonb_array_elements"),
    // The same where the elements are texts.
    ("texts", "json_each", "jsonb_array_elements_text"),
    ("array", "json_array", "jsonb_build_array"),
    ("array_of_rows", "json_group_array", "jsonb_agg"),
    // The type of a text that is read as JSON.
    ("json", "text", "jsonb"),
    ("least", "MIN", "LEAST"),
    // Of two texts, where the second begins in the first; 0 if it does not.
    ("position", "instr", "strpos"),
];

/// Whose spelling.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Engine {
    Sqlite,
    Postgres,
}

/// How long the text is as the engine spells it.
pub(in crate::store) const fn length(text: &str, engine: Engine) -> usize {
    written(text, engine, &mut [])
}

/// The text as the engine spells it.
pub(in crate::store) const fn spell<const N: usize>(text: &str, engine: Engine) -> [u8; N] {
    let mut spelled = [0; N];
    assert!(written(text, engine, &mut spelled) == N);
    spelled
}

/// Writes as much of it as there is place for, and gives how long all of it is.
const fn written(text: &str, engine: Engine, out: &mut [u8]) -> usize {
    let text = text.as_bytes();
    let (mut i, mut length) = (0, 0);
    while i < text.len() {
        if text[i] != b'{' {
            length = put(&[text[i]], out, length);
            i += 1;
            continue;
        }
        let start = i + 1;
        while text[i] != b'}' {
            i += 1;
        }
        let name = slice(text, start, i);
        i += 1;
        if name.is_empty() {
            // An empty JSON object.
            length = put(b"{}", out, length);
        } else if name[0].is_ascii_digit() {
            let sqlite = matches!(engine, Engine::Sqlite);
            length = put(if sqlite { b"'$[" } else { b"" }, out, length);
            length = put(name, out, length);
            length = put(if sqlite { b"]'" } else { b"" }, out, length);
        } else {
            length = put(fragment(name, engine), out, length);
        }
    }
    length
}

#[expect(clippy::panic, reason = "only while it is compiled")]
const fn fragment(name: &[u8], engine: Engine) -> &'static [u8] {
    let mut n = 0;
    while n < FRAGMENTS.len() {
        let (known, sqlite, postgres) = FRAGMENTS[n];
        if equal(known.as_bytes(), name) {
            return match engine {
                Engine::Sqlite => sqlite.as_bytes(),
                Engine::Postgres => postgres.as_bytes(),
            };
        }
        n += 1;
    }
    panic!("no such fragment")
}

const fn put(bytes: &[u8], out: &mut [u8], mut at: usize) -> usize {
    let mut i = 0;
    while i < bytes.len() {
        if at < out.len() {
            out[at] = bytes[i];
        }
        (at, i) = (at + 1, i + 1);
    }
    at
}

const fn slice(text: &[u8], from: usize, to: usize) -> &[u8] {
    text.split_at(to).0.split_at(from).1
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "SELECT value ->> {2} FROM {elements}($2)";

    fn spelled<const N: usize>(engine: Engine) -> String {
        String::from_utf8(spell::<N>(TEXT, engine).to_vec()).expect("a text")
    }

    #[test]
    fn a_fragment_is_spelled_as_the_engine_has_it() {
        const SQLITE: usize = length(TEXT, Engine::Sqlite);
        const POSTGRES: usize = length(TEXT, Engine::Postgres);
        assert_eq!(spelled::<SQLITE>(Engine::Sqlite), "SELECT value ->> '$[2]' FROM jsonb_each($2)");
        assert_eq!(spelled::<POSTGRES>(Engine::Postgres), "SELECT value ->> 2 FROM jsonb_array_elements($2)");
    }

    #[test]
    #[should_panic(expected = "no such fragment")]
    fn a_fragment_that_nobody_knows_is_refused() {
        let _ = length("SELECT {nothing}", Engine::Postgres);
    }
}
