//! The HTML form of a letter that was written as text.

use url::Url;

use crate::domain::text::escaped;

/// The text's paragraphs, its line breaks, and links for its web addresses; all else stands as it is written.
pub(super) fn of_text(text: &str) -> String {
    let mut html = String::from("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head><body>\n");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    for paragraph in lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()) {
        let lines: Vec<_> = paragraph.iter().map(|line| linked(line)).collect();
        // Each in the direction of its own script.
        html.push_str(&format!("<p dir=\"auto\">{}</p>\n", lines.join("<br>\n")));
    }
    html + "</body></html>\n"
}

/// A line with its web addresses as links.
fn linked(line: &str) -> String {
    let (mut html, mut rest) = (String::new(), line);
    while let Some(at) = rest.find("http://").into_iter().chain(rest.find("https://")).min() {
        let (before, from) = rest.split_at(at);
        html.push_str(&escaped(before));
        let end = from.find(ends_address).unwrap_or(from.len());
        // What ends a sentence is no part of the address.
        let address = from[..end].trim_end_matches(|c: char| ".,;:!?')]}*_".contains(c));
        match Url::parse(address) {
            Ok(url) => html.push_str(&format!("<a href=\"{}\">{}</a>", escaped(url.as_str()), escaped(address))),
            Err(_) => html.push_str(&escaped(address)),
        }
        rest = &from[address.len()..];
    }
    html + &escaped(rest)
}

/// Blanks, what no address holds, and the punctuation of East Asia, which has no blank behind it.
fn ends_address(c: char) -> bool {
    c.is_whitespace() || "<>\"`“”„«»".contains(c) || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ffef}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use scraper::{Html, Selector};

    use super::*;

    #[test]
    fn a_letter_has_its_paragraphs_breaks_and_links() {
        let html = of_text("Dear Kim,\n\nsee https://a.example/x?b=1&c=2.\nOr (http://例子.example)。好\n\n\n1 < 2\n");
        let expected = "<p dir=\"auto\">Dear Kim,</p>\n<p dir=\"auto\">see <a href=\"https://a.example/x?b=1&amp;c=2\">\
                        https://a.example/x?b=1&amp;c=2</a>.<br>\nOr (<a href=\"http://xn--fsqu00a.example/\">\
                        http://例子.example</a>)。好</p>\n<p dir=\"auto\">1 &lt; 2</p>\n";
        let body = html.split_once("<body>\n").and_then(|(_, rest)| rest.split_once("</body>")).expect("a body").0;
        assert_eq!(body, expected);
        assert!(of_text("http:// https://").contains("http:// https://"), "no addresses");
    }

    proptest! {
        #[test]
        fn nothing_in_a_letter_becomes_markup(
            text in "(<script>|</p>|\"|'|&|&amp;|<a href=|javascript:|https?://|a\\.example|[/?=)<>]| |\n|x|例){0,30}"
        ) {
            let html = Html::parse_document(&of_text(&text));
            let elements = Selector::parse("body *").expect("a selector");
            for element in html.select(&elements) {
                let value = element.value();
                prop_assert!(["p", "br", "a"].contains(&value.name()), "{}", value.name());
                let href = value.attr("href");
                prop_assert_eq!(href.is_some(), value.name() == "a");
                prop_assert!(href.is_none_or(|href| href.starts_with("http://") || href.starts_with("https://")));
                prop_assert_eq!(value.attrs().count(), usize::from(value.name() != "br"));
            }
            let shown: String = html.root_element().text().collect();
            let plain = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(plain(&shown), plain(&text));
        }
    }
}
