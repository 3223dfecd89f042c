//! What the writer of a reply has written, apart from what their program, their company and we have put there.
//!
//! A reply brings the letter along that it answers, under a line or a header that each mail program writes in its own way,
//! and below it a signature, a disclaimer, the foot of a newsletter. All of those speak, and none of them answers. The forms
//! are in one table ([`forms`]); here is how lines are held against it.
//!
//! A quotation whose lines are marked (`>`) ends where the marks end, so that an answer below or between them counts. One that
//! is not marked takes the rest of the mail. What our own letters offer as a way out is taken out wherever it stands: it may
//! have come in a form that is not in the table, and nobody refuses by quoting us.
//!
//! One pass; each line looks a bounded number of lines ahead, and only its beginning.

mod forms;

use super::fold::fold;
use super::ways_out;
use crate::domain::text::is_chinese;
use forms::{
    ATTRIBUTIONS, CLOSINGS, DEVICES, FIELDS, FIRST_PERSON, FOOTER_WORDS, FOOTERS, Field, LIGHT_CLOSINGS, LINKS,
    POSTSCRIPTS, TITLES, UNSUBSCRIBING,
};

/// The lines over which an attribution may be wrapped.
const WRAPPED: usize = 4;
/// A longer line is no attribution, title or field.
const FORM_MAX: usize = 400;
/// The lines that a header has at most, blank and wrapped ones among them.
const HEADER: usize = 12;

struct Line<'a> {
    raw: &'a str,
    folded: String,
}

/// Whose words the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Own,
    /// The writer's name, trade and company. A postscript may follow.
    Signature,
    /// What is put under every mail, up to the next quotation.
    Footer,
}

/// The writer's own words, folded: a line for each of theirs that is no continuation of the one before.
pub(super) fn own_words(body: &str) -> String {
    let lines: Vec<Line<'_>> = body.lines().map(Line::new).collect();
    let mut kept: Vec<&Line<'_>> = Vec::new();
    let mut part = Part::Own;
    // How many lines were kept since the last quotation.
    let mut since = 0;
    let mut at = 0;
    while at < lines.len() {
        let line = &lines[at];
        if let Some(next) = introduction(&lines, at) {
            if !is_marked(&lines, next) {
                break;
            }
            (part, since, at) = (Part::Own, 0, next);
            continue;
        }
        if line.is_quoted() || is_left_over(&lines, at) {
            if line.is_divider_of_groupwise() {
                break;
            }
            (part, since) = (Part::Own, 0);
            at += 1;
            continue;
        }
        if part == Part::Signature && POSTSCRIPTS.iter().any(|start| line.folded.starts_with(start)) {
            part = Part::Own;
        }
        if part == Part::Own && !line.is_device() {
            if line.is_footer() || line.is_foot_of_newsletter(lines.get(at + 1)) {
                part = Part::Footer;
            } else if line.is_signature_mark(since > 0) {
                part = Part::Signature;
            } else {
                kept.push(line);
                since += usize::from(!line.is_blank());
                if since > 1 && line.closes(lines[at + 1..].iter().take(HEADER).find(|line| !line.is_blank())) {
                    part = Part::Signature;
                }
            }
        }
        at += 1;
    }
    ways_out::without(&joined(&kept))
}

/// The lines, with those put together that a program has wrapped.
fn joined(lines: &[&Line<'_>]) -> String {
    let mut out = String::new();
    let mut before: Option<&Line<'_>> = None;
    for line in lines {
        let text = line.folded.trim();
        if let Some(before) = before {
            let first = line.raw.trim_start().chars().next();
            let width: usize = before.folded.chars().take(60).map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
            let goes_on = !before.is_blank() && !text.is_empty();
            out.push(if goes_on && (width >= 50 || first.is_some_and(char::is_lowercase)) { ' ' } else { '\n' });
        }
        out.push_str(text);
        before = Some(line);
    }
    out
}

/// Whether the quotation that begins at this line is marked on each line, and so says where it ends.
fn is_marked(lines: &[Line<'_>], at: usize) -> bool {
    // A few blank lines at most: this is asked at many a line.
    let first = lines.iter().skip(at).take(HEADER).find(|line| !line.is_blank());
    first.is_some_and(|line| line.is_quoted() && !line.folded.starts_with('|'))
}

/// The line behind what introduces a quotation, if that begins here.
fn introduction(lines: &[Line<'_>], at: usize) -> Option<usize> {
    let line = &lines[at];
    if line.is_blank() || line.is_quoted() && !line.is_divider_of_groupwise() {
        return None;
    }
    if line.is_title() || line.is_divider_of_groupwise() || line.is_divider_of_notes() {
        // Under a title there is often a header or an attribution as well.
        let named = lines.get(at + 1).filter(|line| !line.is_blank());
        let under = named.and_then(|_| header(lines, at + 1).or_else(|| attribution(lines, at + 1)));
        return Some(under.unwrap_or(at + 1));
    }
    attribution(lines, at).or_else(|| header(lines, at)).or_else(|| header_of_notes(lines, at))
}

/// An attribution that begins on this line and goes over a few more. One that could begin later begins later, so that no
/// line of the writer's belongs to it, unless this line has its first words.
fn attribution(lines: &[Line<'_>], at: usize) -> Option<usize> {
    let mut text = String::new();
    for (n, line) in lines[at..].iter().take(WRAPPED).enumerate() {
        if line.is_blank() || line.is_quoted() || line.folded.len() > FORM_MAX {
            return None;
        }
        if n > 0 {
            text.push(' ');
        }
        text.push_str(line.folded.trim());
        let next = at + n + 1;
        if !line.ends_attribution() {
            continue;
        }
        let quoted = is_marked(lines, next);
        if !is_attribution(&text, quoted) {
            return None;
        }
        let begins = n == 0 || begins_attribution(&text) || !is_attribution(lines[at + n].folded.trim(), quoted);
        return begins.then_some(next);
    }
    None
}

fn begins_attribution(text: &str) -> bool {
    let dated = text.chars().take(40).any(|c| c.is_ascii_digit());
    dated && ATTRIBUTIONS.iter().flat_map(|row| row.starts).any(|start| text.starts_with(start))
}

/// Whether the text, wrapped lines put together, says who wrote what follows.
fn is_attribution(text: &str, quoted: bool) -> bool {
    let said = text.trim_end_matches([':', '-', '*', '_', '"', ' ', ',']);
    let dated = said.contains(|c: char| c.is_ascii_digit());
    let addressed = said.contains('@');
    ATTRIBUTIONS.iter().any(|row| {
        let starts = row.starts.is_empty() || row.starts.iter().any(|start| said.starts_with(start));
        let verb = |verb: &&str| match *verb {
            "@" => addressed && dated && said.contains(':') && (said.ends_with('>') || !said.ends_with(' ')),
            verb if row.verb_ends => said.ends_with(verb),
            verb => said.contains(verb),
        };
        starts && row.verbs.iter().any(verb) && (quoted || addressed || dated)
    })
}

/// A header that is repeated: a sender and two more fields, or one more with an address. Gives the line behind it.
fn header(lines: &[Line<'_>], at: usize) -> Option<usize> {
    let first = lines[at].field()?;
    if lines[at].is_header_in_one_line() {
        return Some(at + 1);
    }
    if !matches!(first, Field::From | Field::Date | Field::Subject) {
        return None;
    }
    let mut seen = vec![first];
    let mut addressed = lines[at].folded.contains('@');
    let (mut last, mut others) = (at, 0);
    for (n, line) in lines.iter().enumerate().skip(at + 1).take(HEADER) {
        match line.field() {
            Some(field) => {
                if !seen.contains(&field) {
                    seen.push(field);
                }
                addressed |= line.folded.contains('@');
                (last, others) = (n, 0);
            }
            // A list of addressees is wrapped, or a blank line stands between.
            None if others < 2 => others += 1,
            None => break,
        }
    }
    let whole = seen.len() > 2 || seen.len() == 2 && addressed;
    (whole && seen.contains(&Field::From)).then_some(last + 1)
}

/// Lotus Notes sets the names of the fields on lines of their own, under the sender and the date.
fn header_of_notes(lines: &[Line<'_>], at: usize) -> Option<usize> {
    if !lines[at].folded.contains(|c: char| c == '@' || c.is_ascii_digit()) {
        return None;
    }
    let named = |line: &Line<'_>, field: Field| line.label(line.folded.trim()) == Some(field);
    let below = |from: usize, max: usize| lines.iter().enumerate().skip(from).take(max);
    let (to, _) = below(at + 1, 6).find(|(_, line)| named(line, Field::To))?;
    let (subject, _) = below(to + 1, HEADER).find(|(_, line)| named(line, Field::Subject))?;
    Some(subject + 1)
}

/// The rest of a marked line that a program has wrapped without a mark: the sentence was not over, and goes on in lower case.
fn is_left_over(lines: &[Line<'_>], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| &lines[before]) else { return false };
    let over = before.folded.trim_end().ends_with(['.', '!', '?', ':', '"', '。', ')']);
    let follows = lines.get(at + 1).is_none_or(|line| line.is_quoted() || line.is_blank());
    let lower = lines[at].raw.chars().next().is_some_and(char::is_lowercase);
    before.is_quoted() && before.folded.len() >= 64 && !over && lower && follows
}

// === impl Line ===

impl<'a> Line<'a> {
    fn new(raw: &'a str) -> Self {
        Self { raw, folded: fold(raw).trim().to_owned() }
    }

    fn is_blank(&self) -> bool {
        self.folded.is_empty()
    }

    /// Marked as somebody else's: `> text`, `| text`, or with the initials of supercite.
    fn is_quoted(&self) -> bool {
        let text = self.folded.as_str();
        let initials = text.bytes().take(5).take_while(u8::is_ascii_alphabetic).count();
        let cited = (1..5).contains(&initials) && text[initials..].starts_with("> ");
        text.starts_with('>') || text.starts_with("| ") || cited
    }

    /// GroupWise writes `>>> sender date >>>` over a letter that it does not mark.
    fn is_divider_of_groupwise(&self) -> bool {
        self.folded.len() > 6 && self.folded.starts_with(">>>") && self.folded.ends_with(">>>")
    }

    /// Lotus Notes writes `"sender" ---date---` and the letter's beginning.
    fn is_divider_of_notes(&self) -> bool {
        let mut parts = self.folded.splitn(3, "---");
        let (Some(_), Some(date), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return false };
        date.len() < 40 && date.starts_with(|c: char| c.is_ascii_digit()) && date.contains(':')
    }

    fn is_title(&self) -> bool {
        if self.folded.len() > FORM_MAX {
            return false;
        }
        let marks = |c: char| matches!(c, '-' | '_' | '=' | '*' | '—' | ' ');
        let inner = self.folded.trim_matches(marks);
        let marked = self.folded.starts_with("--") || self.folded.starts_with('—') || self.folded.starts_with("__");
        if inner.is_empty() {
            // The line that Outlook draws above a header.
            return self.folded.bytes().filter(|b| *b == b'_').count() >= 10;
        }
        let alone = inner.ends_with(':');
        let inner = inner.trim_end_matches(':');
        TITLES.iter().any(|title| match inner.strip_prefix(title) {
            Some("") => marked || alone && title.len() > 10,
            Some(_) => marked,
            None => false,
        })
    }

    fn ends_attribution(&self) -> bool {
        let text = self.folded.trim_end_matches(['*', '_', '"', ' ']);
        text.ends_with(':') || text.ends_with("wrote ---") || text.ends_with("wrote ----")
    }

    /// The field of a header whose name the text is.
    fn label(&self, text: &str) -> Option<Field> {
        let text = text.trim_matches([' ', '*', '_']);
        FIELDS.iter().find(|(_, names)| names.contains(&text)).map(|(field, _)| *field)
    }

    fn field(&self) -> Option<Field> {
        let (name, _) = self.folded.split_once(':')?;
        if name.len() > 40 { None } else { self.label(name) }
    }

    /// A header that was put on one line: `From: … Sent: … To: … Subject: …`.
    fn is_header_in_one_line(&self) -> bool {
        let fields = self.folded.split(':').take(20).filter_map(|text| self.label(text.rsplit(' ').next()?));
        let mut seen = Vec::new();
        for field in fields {
            if !seen.contains(&field) {
                seen.push(field);
            }
        }
        seen.len() > 2
    }

    fn is_device(&self) -> bool {
        let fits = |words: &&[&str]| match words.split_first() {
            Some((first, rest)) => self.folded.starts_with(first) && rest.iter().all(|word| self.folded.contains(word)),
            None => false,
        };
        self.folded.len() <= 120 && DEVICES.iter().any(fits)
    }

    fn is_footer(&self) -> bool {
        let text = self.folded.trim_start_matches(['*', '_', '-', ' ', '"', '[', '(']);
        FOOTERS.iter().any(|start| text.starts_with(start)) || FOOTER_WORDS.iter().any(|words| text.contains(words))
    }

    /// How to leave a newsletter of the writer's own, told to its readers. It may go on in the next line.
    fn is_foot_of_newsletter(&self, next: Option<&Self>) -> bool {
        let starts = |text: &str| UNSUBSCRIBING.iter().any(|words| text.contains(words));
        let mut words = self.folded.split(|c: char| !c.is_alphanumeric());
        let chinese = self.folded.contains(['我', '你']);
        if !starts(&self.folded) || chinese || words.any(|word| FIRST_PERSON.contains(&word)) {
            return false;
        }
        let next = next.filter(|next| !next.is_blank()).map_or("", |next| next.folded.as_str());
        LINKS.iter().any(|link| self.folded.contains(link) || next.contains(link))
    }

    /// The line above a signature: two dashes and a space (RFC 3676, 4.3), which many programs cut or make longer.
    fn is_signature_mark(&self, below_words: bool) -> bool {
        let dashes = self.folded.chars().all(|c| matches!(c, '-' | '—' | '_' | '=' | '*' | '~'));
        let exact = matches!(self.folded.as_str(), "--" | "—");
        !self.is_blank() && (exact || below_words && dashes && self.folded.chars().count() > 2)
    }

    /// Ends the letter: "Kind regards", alone or with a name.
    fn closes(&self, next: Option<&Self>) -> bool {
        if self.folded.chars().count() > 40 {
            return false;
        }
        let text = self.folded.trim_end_matches([',', '.', '!', ' ']);
        if CLOSINGS
            .iter()
            .any(|words| text.strip_prefix(words).is_some_and(|rest| !rest.starts_with(char::is_alphabetic)))
        {
            return true;
        }
        LIGHT_CLOSINGS.contains(&text) && next.is_some_and(Self::is_name)
    }

    /// A few words that all begin with a capital, or a few Chinese characters: nothing that anybody would answer.
    fn is_name(&self) -> bool {
        let words: Vec<_> = self.raw.split_whitespace().collect();
        let named = |word: &&str| word.starts_with(char::is_uppercase) || word.starts_with(['(', '|']);
        let chinese = self.raw.trim().chars().count() <= 4 && self.raw.trim().chars().all(is_chinese);
        chinese || words.len() <= 4 && words.iter().all(named) && !self.raw.contains(['.', '!', '?'])
    }
}

#[cfg(test)]
pub(super) mod tests;
