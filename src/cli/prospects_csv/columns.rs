//! Which column goes into which field: by what the person says (`--map`), by its name, or by a synonym.
//!
//! What a person says comes first. Names and places of several columns are joined; for any other field two columns are an
//! error, since one of them would be lost without a word. What has no place is left out, and told.

use super::cells::Row;
use super::fields::COLUMNS;
use super::letters::letters;
use super::synonyms::{Part, Place, place};
use crate::domain::text::cut;

/// The columns of a file.
pub(super) struct Columns {
    /// As the header names them.
    names: Vec<String>,
    fields: Vec<Field>,
    /// Those whose name has no place.
    left_out: Vec<usize>,
}

/// A field and the columns that it is made of.
pub(super) struct Field {
    pub name: &'static str,
    parts: Vec<(Part, usize)>,
}

/// What a person says of a column.
#[derive(Clone, Copy)]
enum Said {
    Nothing,
    LeftOut,
    Goes(Place),
}

/// The most names of columns that a line tells, and the most characters of one.
const MOST_NAMES: usize = 20;
const MOST_OF_A_NAME: usize = 60;

/// What `--map` may name besides the fields.
const PARTS: [(&str, Part); 2] = [("first_name", Part::Given), ("last_name", Part::Family)];

/// A value of `--map`: the name of a column, and what it goes into; nothing if it is to be left out.
pub(super) fn mapping(text: &str) -> Result<(String, String), String> {
    // The name may hold the sign itself, a field does not.
    let (column, field) = text.rsplit_once('=').ok_or("must be COLUMN=FIELD, such as \"Their Column=company\"")?;
    let (column, field) = (column.trim(), field.trim().to_lowercase());
    if column.is_empty() {
        return Err("must name a column before the =".to_owned());
    }
    if !field.is_empty() && target(&field).is_none() {
        let parts = PARTS.map(|(name, _)| name).join(", ");
        return Err(format!(
            "{field:?} is no field; known are {}, {parts}, and nothing to leave it out",
            COLUMNS.join(", ")
        ));
    }
    Ok((column.to_owned(), field))
}

fn target(field: &str) -> Option<Place> {
    let whole = COLUMNS.iter().find(|column| **column == field).map(|column| (*column, Part::Whole));
    whole.or_else(|| PARTS.iter().find(|(name, _)| *name == field).map(|(_, part)| ("contact_name", *part)))
}

/// How many columns of a header have a place: of several ways to take it apart, the one with the most is right.
pub(super) fn known(header: &Row, map: &[(String, String)]) -> usize {
    header.cells().filter(|name| place(name).is_some() || map.iter().any(|(column, _)| is_named(column, name))).count()
}

fn is_named(column: &str, name: &str) -> bool {
    column == name || (!letters(column).is_empty() && letters(column) == letters(name))
}

impl Columns {
    /// Those of a header; the error says what is wrong with it.
    pub(super) fn new(header: &Row, map: &[(String, String)], strict: bool) -> Result<Self, String> {
        let names: Vec<_> = header.cells().map(|name| cut(name, MOST_OF_A_NAME).to_owned()).collect();
        let said = said(header, map, &names)?;
        let places: Vec<_> = said
            .iter()
            .zip(header.cells())
            .map(|(said, name)| match said {
                Said::Goes(place) => Some(*place),
                Said::LeftOut => None,
                Said::Nothing => place(name),
            })
            .collect();
        let is_unsaid = |i: usize| matches!(said.get(i), Some(Said::Nothing));
        let mut fields: Vec<Field> = Vec::new();
        let mut left_out: Vec<_> = (0..header.len())
            .filter(|i| is_unsaid(*i) && places[*i].is_none() && !header.cell(*i).is_empty())
            .collect();
        for name in COLUMNS {
            let of_field = |i: usize| places[i].filter(|(field, _)| *field == name).map(|(_, part)| (part, i));
            let mut parts: Vec<_> = (0..header.len()).filter_map(of_field).collect();
            left_out.extend(outdone(&mut parts, is_unsaid));
            parts.sort_unstable();
            let twice = parts.windows(2).find(|two| two[0].0 == two[1].0 && name != "location");
            if let Some([(_, first), (_, second)]) = twice {
                let (one, other) = (&names[*first], &names[*second]);
                let way_out = if one == other {
                    "give one of them another name in the file".to_owned()
                } else {
                    format!("leave one out with --map \"{one}=\" or --map \"{other}=\"")
                };
                let (first, second) = (first + 1, second + 1);
                return Err(format!(
                    "columns {first} ({one:?}) and {second} ({other:?}) are both for {name}; {way_out}"
                ));
            }
            if !parts.is_empty() {
                fields.push(Field { name, parts });
            }
        }
        left_out.sort_unstable();
        let columns = Self { names, fields, left_out };
        if columns.fields.iter().all(|field| field.name != "email") {
            if columns.names.iter().any(|name| name.contains('@')) {
                return Err(
                    "there is no column \"email\": the first line is a row already; write the names of the columns \
                            above it, such as email,company"
                        .to_owned(),
                );
            }
            if let [title] = columns.names.iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().as_slice() {
                return Err(format!(
                    "there is no column \"email\": if {title:?} is a title, take the lines above the names of the columns out; \
                     if it is the only column, say so with --map \"{title}=email\""
                ));
            }
            return Err(format!(
                "there is no column \"email\", by that or another name; the first line must name the columns, and here has {}; \
                 say which it is with --map \"COLUMN=email\"",
                list(columns.names.iter().map(String::as_str))
            ));
        }
        if strict && !columns.left_out.is_empty() {
            return Err(format!("{}, and --strict is given", columns.told(&[])));
        }
        Ok(columns)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// A column as errors name it: as the header does, or by its number.
    pub(super) fn name(&self, column: usize) -> String {
        match self.names.get(column) {
            Some(name) if !name.is_empty() => format!("{name:?}"),
            _ => (column + 1).to_string(),
        }
    }

    /// Whether the header has no name for a column.
    pub(super) fn is_nameless(&self, column: usize) -> bool {
        self.names.get(column).is_some_and(String::is_empty)
    }

    /// Each column that has a place, in the order of the file, and the field that it goes into.
    pub(super) fn placed(&self) -> Vec<(String, &'static str)> {
        let of_field = |field: &Field| field.columns().map(|column| (column, field.name)).collect::<Vec<_>>();
        let mut placed: Vec<_> = self.fields.iter().flat_map(of_field).collect();
        placed.sort_unstable();
        placed.into_iter().map(|(column, field)| (self.names[column].clone(), field)).collect()
    }

    /// Those that are left out, by their names, with these columns that have none, by their numbers.
    pub(super) fn left_out(&self, nameless: &[usize]) -> Vec<String> {
        let named = self.left_out.iter().map(|column| self.names[*column].clone());
        named.chain(nameless.iter().map(|column| (column + 1).to_string())).collect()
    }

    /// The same in words; nothing if nothing is left out.
    pub(super) fn told(&self, nameless: &[usize]) -> String {
        let all: Vec<_> = self.left_out.iter().chain(nameless).map(|column| self.name(*column)).collect();
        match all.as_slice() {
            [] => String::new(),
            [one] => format!("column {one} has no place in a prospect"),
            _ => format!("columns {} have no place in a prospect", enumerated(all.iter().map(String::as_str))),
        }
    }
}

impl Field {
    /// What a row holds for it; `cell` gives a column's text.
    pub(super) fn text(&self, cell: impl Fn(usize) -> String) -> String {
        let cells = || self.parts.iter().map(|(part, column)| (*part, cell(*column)));
        match self.name {
            "contact_name" => {
                let whole = cells().find(|(part, text)| *part <= Part::Stopgap && !text.is_empty());
                whole.map_or_else(|| full_name(cells().filter(|(part, _)| *part > Part::Stopgap)), |(_, text)| text)
            }
            "location" => {
                // A person's own city comes before that of the company, which stands behind it; what is said is all there.
                let mut places: Vec<(Part, String)> = Vec::new();
                for (part, place) in cells().filter(|(_, place)| !place.is_empty()) {
                    let is_there = |(p, text): &(Part, String)| *text == place || (*p == part && part != Part::Whole);
                    if !places.iter().any(is_there) {
                        places.push((part, place));
                    }
                }
                places.into_iter().map(|(_, place)| place).collect::<Vec<_>>().join(", ")
            }
            _ => cells().next().map(|(_, text)| text).unwrap_or_default(),
        }
    }

    /// The columns that it is made of.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|(_, column)| *column)
    }
}

/// Takes out the columns in whose stead others count, and gives them: what is said counts instead of what was taken by its
/// name, and the first stopgap stands in where there is no whole.
fn outdone(parts: &mut Vec<(Part, usize)>, is_unsaid: impl Fn(usize) -> bool) -> Vec<usize> {
    let mut has_whole = parts.iter().any(|(part, _)| *part == Part::Whole);
    let said: Vec<_> = parts.iter().filter(|(_, i)| !is_unsaid(*i)).map(|(part, _)| *part).collect();
    let is_outdone = |(part, i): &mut (Part, usize)| {
        let by_what_is_said = is_unsaid(*i) && (said.contains(&Part::Whole) || said.contains(part));
        by_what_is_said || (*part == Part::Stopgap && std::mem::replace(&mut has_whole, true))
    };
    parts.extract_if(.., is_outdone).map(|(_, i)| i).collect()
}

/// What is said of each column.
fn said(header: &Row, map: &[(String, String)], names: &[String]) -> Result<Vec<Said>, String> {
    let mut said = vec![Said::Nothing; header.len()];
    for (column, field) in map {
        let mut found: Vec<_> = (0..header.len()).filter(|i| header.cell(*i) == column).collect();
        if found.is_empty() {
            found = (0..header.len()).filter(|i| is_named(column, header.cell(*i))).collect();
        }
        if found.is_empty() {
            return Err(format!(
                "--map names the column {column:?}, which is not there; there are {}",
                list(names.iter().map(String::as_str))
            ));
        }
        for i in found {
            if !matches!(said[i], Said::Nothing) {
                return Err(format!("--map names the column {column:?} more than once"));
            }
            said[i] = target(field).map_or(Said::LeftOut, Said::Goes);
        }
    }
    Ok(said)
}

/// A name of its parts, as its language has it: the family's first and without a blank in Chinese, Japanese and Korean
/// characters.
fn full_name(parts: impl Iterator<Item = (Part, String)>) -> String {
    let mut parts: Vec<_> = parts.filter(|(_, text)| !text.is_empty()).collect();
    let is_east_asian = |c: char| {
        matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{3ffff}')
    };
    let family_first = parts.iter().all(|(_, text)| text.chars().all(is_east_asian));
    if family_first {
        parts.sort_by_key(|(part, _)| *part != Part::Family);
    }
    let texts: Vec<_> = parts.into_iter().map(|(_, text)| text).collect();
    texts.join(if family_first { "" } else { " " })
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let named: Vec<_> = names.filter(|name| !name.is_empty()).map(|name| format!("{name:?}")).collect();
    if named.is_empty() { "none".to_owned() } else { enumerated(named.iter().map(String::as_str)) }
}

fn enumerated<'a>(mut names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown = names.by_ref().take(MOST_NAMES).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}
