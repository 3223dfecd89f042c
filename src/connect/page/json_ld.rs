//! JSON-LD as it is found, made JSON: in one pass, whose cost is that of its bytes.
//!
//! Websites put it into pages by templates and by hand. Around it stand HTML's comments and XML's CDATA marks, within it comments
//! of JavaScript, trailing commas, semicolons, line breaks in the middle of texts. None of that is within a string, where
//! `https://` is no comment. What is not closed at the end, as of a page that was cut, is closed.

use serde_json::Value;

use super::plain::characters;
use crate::domain::json;

/// The values that stand beside each other in one script element.
const MAX_VALUES: usize = 64;

/// JSON that was made of what is not quite JSON.
struct Cleaned {
    json: String,
    /// How many values stand beside each other.
    values: usize,
}

/// The values in the text of a script element, if they have at most `max` elements, and how many they have. What comes after
/// something that is no JSON in any reading is left out.
pub(super) fn values(text: &str, max: usize) -> Option<(Vec<Value>, usize)> {
    // Escaped as a whole, as by a template that takes it for text.
    let escaped =
        !text.contains('"') && ["&quot;", "&#34;", "&#034;", "&#x22;"].iter().any(|quote| text.contains(quote));
    let cleaned = if escaped { clean(&characters(text)) } else { clean(text) };
    // Counted first: as a tree it takes many times its bytes.
    let elements = json::elements(cleaned.json.as_bytes()).saturating_add(cleaned.values);
    if elements > max {
        return None;
    }
    let values = serde_json::Deserializer::from_str(&cleaned.json).into_iter::<Value>();
    Some((values.take(MAX_VALUES).map_while(Result::ok).collect(), elements))
}

/// What was written last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Opened,
    Colon,
    Value,
}

struct Cleaner<'a> {
    text: &'a str,
    at: usize,
    out: String,
    last: Last,
    /// A comma was read, and is written once a value follows.
    comma: bool,
    /// The ends of what is open.
    open: Vec<char>,
    values: usize,
}

fn clean(text: &str) -> Cleaned {
    let out = String::with_capacity(text.len());
    let mut cleaner = Cleaner { text, at: 0, out, last: Last::Nothing, comma: false, open: Vec::new(), values: 0 };
    while let Some(c) = cleaner.rest().chars().next() {
        cleaner.next(c);
    }
    cleaner.end_member();
    cleaner.out.extend(cleaner.open.drain(..).rev());
    Cleaned { json: cleaner.out, values: cleaner.values }
}

impl<'a> Cleaner<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn next(&mut self, c: char) {
        match c {
            '"' => {
                self.begin_value();
                self.at += 1;
                self.string();
            }
            '{' | '[' => {
                self.begin_value();
                self.out.push(c);
                self.open.push(if c == '{' { '}' } else { ']' });
                self.last = Last::Opened;
                self.at += 1;
            }
            ']' if self.open.is_empty() && self.rest().starts_with("]]>") => self.at += 3,
            '}' | ']' => {
                // One that closes nothing is none.
                if self.open.last() == Some(&c) {
                    self.end_member();
                    self.out.push(c);
                    self.open.pop();
                    self.last = Last::Value;
                }
                self.at += 1;
            }
            ',' => {
                self.end_member();
                self.comma = true;
                self.at += 1;
            }
            ':' => {
                self.out.push(':');
                self.last = Last::Colon;
                self.at += 1;
            }
            '/' | '<' | '-' if self.comment() => {}
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.') => self.bare(),
            // Spaces, semicolons, and whatever else is none of JSON's.
            c => self.at += c.len_utf8(),
        }
    }

    /// Passes over a comment or a mark, if one begins here.
    fn comment(&mut self) -> bool {
        let rest = self.rest();
        let after = |mark: &str| rest.find(mark).map_or(rest.len(), |at| at + mark.len());
        let passed = if let Some(behind) = rest.strip_prefix("//") {
            // What a minifier has put on one line ends with the mark that was hidden by the slashes.
            let spaces = behind.len() - behind.trim_start_matches([' ', '\t']).len();
            let behind = &behind[spaces..];
            let mark = ["<![CDATA[", "]]>", "-->"].into_iter().find(|mark| behind.starts_with(mark));
            match mark {
                Some(mark) => 2 + spaces + mark.len(),
                None => rest.find(['\n', '\r', '\u{2028}']).unwrap_or(rest.len()),
            }
        } else if let Some(behind) = rest.strip_prefix("/*") {
            behind.find("*/").map_or(rest.len(), |at| at + 4)
        } else if rest.starts_with("<![CDATA[") {
            9
        } else if rest.starts_with("<!]]>") {
            5
        } else if rest.starts_with("-->") {
            3
        } else if let Some(behind) = rest.strip_prefix("<!--") {
            // Around all of it, or a comment beside it?
            if behind.trim_start().starts_with(['{', '[']) { 4 } else { after("-->") }
        } else {
            return false;
        };
        self.at += passed;
        true
    }

    /// Puts what separates a value from the one before it.
    fn begin_value(&mut self) {
        if self.last == Last::Value {
            self.out.push(if self.open.is_empty() { ' ' } else { ',' });
        }
        self.values += usize::from(self.open.is_empty());
        self.comma = false;
    }

    /// A member without a value, as a template leaves it that had none, has null.
    fn end_member(&mut self) {
        if self.last == Last::Colon {
            self.out.push_str("null");
            self.last = Last::Value;
        }
        self.comma = false;
    }

    /// A number, true, false or null; any other word is null.
    fn bare(&mut self) {
        self.begin_value();
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_');
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let known = matches!(word, "true" | "false") || serde_json::from_str::<serde_json::Number>(word).is_ok();
        self.out.push_str(if known { word } else { "null" });
        self.last = Last::Value;
        self.at += word.len();
    }

    /// A string, whose opening quote was read.
    fn string(&mut self) {
        self.out.push('"');
        self.last = Last::Value;
        while let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
            match c {
                '"' => break,
                '\\' => self.escape(),
                c if c < ' ' => self.out.push(' '),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    /// What follows a backslash. Escapes that JSON does not have are what they escape.
    fn escape(&mut self) {
        let Some(c) = self.rest().chars().next() else { return };
        self.at += c.len_utf8();
        match c {
            '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => self.out.extend(['\\', c]),
            'u' => {
                let hex = |text: &str| text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
                let rest = self.rest();
                match hex(rest) {
                    // Half of a character needs its other half.
                    Some(unit @ 0xd800..0xdc00) => {
                        let second = rest.get(4..).and_then(|rest| rest.strip_prefix("\\u")).and_then(hex);
                        match second {
                            Some(second @ 0xdc00..0xe000) => {
                                self.out.push_str(&format!("\\u{unit:04x}\\u{second:04x}"));
                                self.at += 10;
                            }
                            _ => {
                                self.out.push('\u{fffd}');
                                self.at += 4;
                            }
                        }
                    }
                    Some(0xdc00..0xe000) => {
                        self.out.push('\u{fffd}');
                        self.at += 4;
                    }
                    Some(unit) => {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                        self.at += 4;
                    }
                    None => self.out.push('u'),
                }
            }
            c if c < ' ' => self.out.push(' '),
            c => self.out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Value {
        values(text, 20_000).expect("few elements").0.into()
    }

    #[test]
    fn what_is_nearly_json_is_read() {
        let thing = json!([{"@type": "Organization", "url": "https://a.example//b"}]);
        let inside = r#"{"@type":"Organization","url":"https://a.example//b"}"#;
        for text in [
            inside.to_owned(),
            format!("{inside};"),
            format!("\u{feff} {inside},"),
            format!("<!--\n{inside}\n-->"),
            format!("<!-- a comment with {{ in it --> {inside}"),
            format!("<![CDATA[{inside}]]>"),
            format!("//<![CDATA[\n{inside}\n//]]>"),
            format!("//<![CDATA[{inside}//]]>"),
            format!("/*<![CDATA[*/{inside}/*]]>*/"),
            format!("<!--//--><![CDATA[//><!--\n{inside}\n//--><!]]>"),
            r#"{"@type":"Organization", // "no": 1
                /* "no": {{ */ "url":"https://a.example//b",,}"#
                .to_owned(),
            "{\n\"@type\" : \"Organization\"\n\"url\":\t\"https://a.example//b\"}}".to_owned(),
            r#"{"@type":"Organization","url":"https://a.example//b"#.to_owned(),
            inside.replace('"', "&quot;"),
        ] {
            assert_eq!(read(&text), thing, "{text}");
        }
    }

    #[test]
    fn strings_and_values_are_kept_as_they_are_meant() {
        for (text, right) in [
            ("{\"a\":\"b\nc\td\"}", json!([{"a": "b c d"}])),
            (r#"{"a":"it\'s \"x\" \u00e9 \ud83d\ude00 \ud83d \u12"}"#, json!([{"a": "it's \"x\" é 😀 \u{fffd} u12"}])),
            (r#"["/* a */","// b","<!-- c -->","]]>"]"#, json!([["/* a */", "// b", "<!-- c -->", "]]>"]])),
            ("{\"a\":\"b\\\nc\"}", json!([{"a": "b c"}])),
            (
                r#"{"a": ,"b":undefined,"c":-1.5e3,"d":true,"e":}"#,
                json!([{"a": null, "b": null, "c": -1500.0, "d": true, "e": null}]),
            ),
            (r#"{"a":1}{"a":2},[[["b"]]]"#, json!([{"a": 1}, {"a": 2}, [[["b"]]]])),
            (r#"[1,[2]]>"#, json!([[1, [2]]])),
            ("nothing at all", json!([null, null, null])),
            ("", json!([])),
        ] {
            assert_eq!(read(text), right, "{text}");
        }
    }

    #[test]
    fn hostile_texts_cost_what_their_bytes_cost() {
        let size = 1 << 20;
        for piece in [
            "/*",
            "//",
            "<!--",
            "<![CDATA[",
            "{",
            "[",
            "\"",
            "\\",
            "\"\\u",
            "]]>",
            "-->",
            ",",
            ":",
            "1 ",
            "&quot;",
            "{\"a\":",
        ] {
            let begun = std::time::Instant::now();
            let text = piece.repeat(size / piece.len());
            let _ = values(&text, 20_000);
            assert!(begun.elapsed().as_secs() < 5, "{piece}: {:?} in a debug build", begun.elapsed());
        }
        assert!(values(&"[],".repeat(30_000), 20_000).is_none());
        assert!(values(&"1 ".repeat(30_000), 20_000).is_none());
    }

    proptest! {
        #[test]
        fn json_stays_what_it_is(text in r#"[\[\]{},:"\\ a/\*<>\-!1u\n&;é]{0,40}"#, key in "[a/*<&\"-]{0,6}") {
            let value = json!({ key: [text.clone(), { "b": text.clone() }] });
            prop_assert_eq!(read(&value.to_string()), json!([value.clone()]));
            prop_assert_eq!(read(&serde_json::to_string_pretty(&value).expect("JSON")), json!([value]));
            // And whatever else it is, it is read in some way.
            let _ = values(&text, 20_000);
        }
    }
}
