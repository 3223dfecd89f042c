//! The pages of links: plain HTML that needs no script, and what a browser is told about it.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use super::words::{Said, Words, words};
use crate::call::Response;
use crate::domain::language::Language;
use crate::domain::link::{self, Link};
use crate::domain::text::{escaped, tame};

/// What a page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page<'a> {
    /// Whether the reader wants no more.
    Ask(&'a Link),
    /// It is done. `undo`: this link has done it, and may take it back.
    Done { link: &'a Link, undo: bool },
    /// What the link has done is taken back.
    Undone(&'a Link),
    /// The link has done nothing, and the address is not written to all the same.
    Still(&'a Link),
    /// There is no such link, for whatever reason.
    NoLink(Language),
    /// It could not be done now.
    Later(Language),
}

/// A reader may have set any size of letters and any colours.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{margin:0;font:1.125rem/1.5 system-ui,sans-serif}\
main{box-sizing:border-box;max-width:36rem;margin:0 auto;padding:3rem 1.25rem;overflow-wrap:anywhere}\
h1{margin:0 0 1rem;font-size:1.625rem;line-height:1.25}\
p{margin:0 0 1.5rem}\
bdi{display:inline-block;max-width:100%}\
button{min-height:3rem;padding:.625rem 1.5rem;border:2px solid #1a4fc4;border-radius:.5rem;background:#1a4fc4;color:#fff;\
font:inherit;cursor:pointer}\
button.quiet{border-color:currentColor;background:transparent;color:inherit}\
button:focus-visible{outline:3px solid currentColor;outline-offset:3px}";

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

// === impl Page ===

impl Page<'_> {
    pub(super) fn response(self, status: StatusCode) -> Response {
        let mut response = Response::new(Body::new(Full::new(Bytes::from(self.html()))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (ROBOTS, "noindex, nofollow"),
            (CONTENT_LANGUAGE, self.language().as_str()),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(CONTENT_SECURITY_POLICY, policy());
        response
    }

    fn html(self) -> String {
        let words = self.words();
        let (said, form) = match self {
            Self::Ask(_) => (&words.ask, button("", words.unsubscribe)),
            Self::Done { undo: true, .. } => {
                let undo = button(" class=\"quiet\" name=\"undo\" value=\"1\"", words.undo);
                (&words.done, format!("<p>{}</p>\n{undo}", words.mistake))
            }
            Self::Done { undo: false, .. } => (&words.done, String::new()),
            Self::Undone(_) => (&words.undone, button("", words.unsubscribe)),
            Self::Still(_) => (&words.still, String::new()),
            Self::NoLink(_) => (&words.no_link, String::new()),
            Self::Later(_) => (&words.later, String::new()),
        };
        let Said { title, text } = said;
        let language = self.language().as_str();
        let text = self.filled(text);
        // What was done is told to who does not see it, too.
        let role = if matches!(self, Self::Ask(_)) { "" } else { " role=\"status\"" };
        format!(
            "<!DOCTYPE html>\n<html lang=\"{language}\" dir=\"ltr\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p{role}>{text}</p>\n\
             {form}</main>\n</body>\n</html>\n"
        )
    }

    fn words(self) -> &'static Words {
        words(self.language())
    }

    fn language(self) -> Language {
        match self {
            Self::NoLink(language) | Self::Later(language) => language,
            _ => self.link().map_or(Language::English, |link| link.language),
        }
    }

    fn link(&self) -> Option<&Link> {
        match self {
            Self::Ask(link) | Self::Done { link, .. } | Self::Undone(link) | Self::Still(link) => Some(link),
            Self::NoLink(_) | Self::Later(_) => None,
        }
    }

    /// The text with who has written and to whom in their places, each in the direction of its own script.
    fn filled(&self, text: &str) -> String {
        let Some(link) = self.link() else { return text.to_owned() };
        let named = |name: &str| format!("<strong><bdi>{}</bdi></strong>", escaped(&tame(name)));
        let mut filled = String::new();
        for (n, part) in text.split(['{', '}']).enumerate() {
            match (n % 2, part) {
                (0, part) => filled.push_str(part),
                (_, "sender") => filled.push_str(&named(&link.sender)),
                (_, _) => filled.push_str(&named(&link::masked(&link.address))),
            }
        }
        filled
    }
}

/// Asks the page's own address.
fn button(attributes: &str, label: &str) -> String {
    format!("<form method=\"post\"><button type=\"submit\"{attributes}>{label}</button></form>\n")
}

/// Nothing may run, load or frame the page; its one style is known by its digest.
fn policy() -> HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    let made = || {
        let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'; form-action 'self'"))
    };
    POLICY.get_or_init(made).clone()
}

#[cfg(test)]
mod tests {
    use html5ever::tree_builder::QuirksMode;
    use proptest::prelude::*;
    use scraper::{Html, Selector};

    use super::*;
    use crate::domain::id::EmailId;

    fn link(language: Language, sender: &str, address: &str) -> Link {
        let (sender, address) = (sender.to_owned(), address.to_owned());
        Link { email_id: EmailId::parse("em_1").expect("an id"), address, language, sender, use_time: None, undos: 0 }
    }

    fn pages(link: &Link) -> [Page<'_>; 7] {
        let language = link.language;
        [
            Page::Ask(link),
            Page::Done { link, undo: true },
            Page::Done { link, undo: false },
            Page::Undone(link),
            Page::Still(link),
            Page::NoLink(language),
            Page::Later(language),
        ]
    }

    fn all(html: &Html, selector: &str) -> usize {
        html.select(&Selector::parse(selector).expect("a selector")).count()
    }

    #[test]
    fn every_page_is_whole_in_every_language() {
        for language in Language::ALL {
            let link = link(language, "Anna Berg <anna@fernwick.example>", "kim@acme.example");
            let mut titles = Vec::new();
            for page in pages(&link) {
                let text = page.html();
                let html = Html::parse_document(&text);
                assert_eq!(html.quirks_mode, QuirksMode::NoQuirks, "{text}");
                assert_eq!(all(&html, &format!("html[lang={}][dir=ltr]", language.as_str())), 1, "{text}");
                assert_eq!((all(&html, "main h1"), all(&html, "script, a, img, link")), (1, 0), "{text}");
                let shown: String = html.root_element().text().collect();
                assert!(!text.contains("{sender}") && !text.contains("{address}"), "{text}");
                let of_link = page.link().is_some();
                assert_eq!(shown.contains("Anna Berg <anna@fernwick.example>"), of_link, "{shown}");
                assert_eq!(shown.contains("k…@acme.example"), of_link, "{shown}");
                assert!(!shown.contains("kim"), "{shown}");
                let undo = matches!(page, Page::Done { undo: true, .. });
                assert_eq!(all(&html, "form[method=post] button[name=undo][value='1']"), usize::from(undo), "{text}");
                let asks = matches!(page, Page::Ask(_) | Page::Undone(_));
                assert_eq!(all(&html, "form[method=post] button:not([name])"), usize::from(asks), "{text}");
                titles.push(
                    page.html().split("<title>").nth(1).and_then(|rest| rest.split('<').next()).map(str::to_owned),
                );
            }
            titles.dedup();
            assert_eq!(titles.len(), 6, "each says something else: {titles:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_tenant_writes_becomes_markup(
            sender in "(<script>|</p>|\"|'|&amp;|&|\\{address\\}|\\{|\\}|<!--|\\x00|\u{202e}|x|例| ){0,20}",
            local in "(<b>|\"|&|x|\u{202e}){0,6}",
        ) {
            let link = link(Language::English, &sender, &format!("{local}@acme.example"));
            for page in pages(&link) {
                let html = Html::parse_document(&page.html());
                let known = "html, head, meta, title, style, body, main, h1, p, strong, bdi, form, button";
                prop_assert_eq!(all(&html, "*"), all(&html, known));
                prop_assert_eq!(all(&html, "strong"), if page.link().is_some() { 2 } else { 0 });
            }
        }
    }
}
