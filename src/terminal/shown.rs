//! How a text is shown whose characters a terminal would obey.
//!
//! A control character is shown as Rust writes it, `\u{1b}`: that says which one it was, and is ASCII, which every terminal
//! and every log reader has. In JSON it is `\u001b`, so that the value stays what it is. Bidirectional controls are closed
//! on their line, so that they turn around nothing that is not theirs.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::LogForm;
use crate::domain::text::{clean, is_bidi_control};

/// A text of several lines: line breaks and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    replaced(clean(text), |c| c.is_control() && !matches!(c, '\n' | '\t'), escaped)
}

/// A text within a line: line breaks and tabs are blanks.
pub fn line(text: &str) -> Cow<'_, str> {
    replaced(clean(text), char::is_control, |c, out| match c {
        '\n' | '\t' => out.push(' '),
        c => escaped(c, out),
    })
}

/// JSON with escapes for the characters that a serializer leaves as they are: DEL, C1, bidirectional controls, U+2028 and
/// U+2029. They stand in strings alone, so the value is the same.
pub fn json(json: &str) -> Cow<'_, str> {
    replaced(Cow::Borrowed(json), is_raw_in_json, |c, out| {
        // None of them is beyond the 16 bits of an escape. Writing to a string does not fail.
        let _ = write!(out, "\\u{:04x}", u32::from(c));
    })
}

/// A line of the log, without the line break at its end. What breaks a line within it is shown, so that nobody writes lines of
/// his own.
pub(super) fn logged(line: &str, form: LogForm) -> Cow<'_, str> {
    let is_shown = |c: char| c != '\t' && (c.is_control() || is_bidi_control(c) || is_separator(c));
    match form {
        LogForm::Json => json(line),
        LogForm::Plain => replaced(Cow::Borrowed(line), is_shown, escaped),
        LogForm::Colours => {
            // The formatter's own; it has shown those of the texts already.
            let mut out = String::with_capacity(line.len());
            let mut parts = line.split('\u{1b}');
            out.push_str(&logged(parts.next().unwrap_or_default(), LogForm::Plain));
            for part in parts {
                if is_colour(part) {
                    out.push('\u{1b}')
                } else {
                    escaped('\u{1b}', &mut out)
                }
                out.push_str(&logged(part, LogForm::Plain));
            }
            Cow::Owned(out)
        }
    }
}

/// Whether what follows an ESC makes it a colour or a style (SGR), such as `[31m`.
fn is_colour(after: &str) -> bool {
    let parameters = after.strip_prefix('[').and_then(|after| after.split_once('m')).map(|(parameters, _)| parameters);
    parameters.is_some_and(|text| text.len() <= 16 && text.chars().all(|c| c.is_ascii_digit() || c == ';'))
}

fn is_raw_in_json(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}') || is_bidi_control(c) || is_separator(c)
}

/// The line and the paragraph separator of Unicode, which are no control characters.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn escaped(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c => out.extend(c.escape_unicode()),
    }
}

fn replaced(text: Cow<'_, str>, is_bad: impl Fn(char) -> bool, by: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) { by(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_shown_and_line_breaks_and_tabs_stay() {
        for (raw, shown) in [
            ("\u{1b}]0;owned\u{7}Acme\u{9b}31m", "\\u{1b}]0;owned\\u{7}Acme\\u{9b}31m"),
            ("one\r\ntwo\tthree\u{2028}four", "one\ntwo\tthree\nfour"),
            ("\0\u{7f}\u{85}", "\\u{0}\\u{7f}\\u{85}"),
            ("\u{202e}evil\nnext", "\u{202e}evil\u{202c}\nnext"),
            ("例子 é 👋", "例子 é 👋"),
        ] {
            assert_eq!(text(raw), shown, "{raw:?}");
        }
        assert_eq!(line("Acme\ncampaign completed\t\u{1b}[2K"), "Acme campaign completed \\u{1b}[2K");
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "name\u{9b}": "\u{1b}\u{7}\u{7f}\u{85}\u{202e}\u{2069}\u{2028}例子\n" });
        let safe = json(&value.to_string()).into_owned();
        assert_eq!(safe, r#"{"name\u009b":"\u001b\u0007\u007f\u0085\u202e\u2069\u2028例子\n"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn only_colours_of_the_formatter_are_let_through() {
        let told = logged("\u{1b}[31mERROR\u{1b}[0m \u{1b}]0;x\u{7} \u{1b}[2K \u{1b}", LogForm::Colours);
        assert_eq!(told, "\u{1b}[31mERROR\u{1b}[0m \\u{1b}]0;x\\u{7} \\u{1b}[2K \\u{1b}");
    }

    proptest! {
        #[test]
        fn whatever_the_text_no_control_character_is_left(raw in "(\\PC|[\u{0}-\u{9f}]|[\u{2028}-\u{202e}]|[\u{2066}-\u{2069}]){0,40}") {
            let multi = text(&raw).into_owned();
            prop_assert!(!multi.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')), "{multi:?}");
            // Shown once is shown for good, and so are a cell's bidirectional controls within a line.
            prop_assert_eq!(text(&multi), &*multi);
            let single = line(&raw).into_owned();
            prop_assert!(!single.contains(char::is_control), "{single:?}");
            prop_assert_eq!(text(&single), &*single);
            let value = serde_json::Value::from(raw.as_str());
            let safe = json(&value.to_string()).into_owned();
            prop_assert!(!safe.contains(char::is_control), "{safe:?}");
            prop_assert_eq!(text(&safe), &*safe);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
            prop_assert!(!logged(&raw, LogForm::Plain).contains(|c: char| c.is_control() && c != '\t'));
        }
    }
}
