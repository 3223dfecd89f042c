//! What a meta element or a header with a refresh asks for: the HTML standard's "shared declarative refresh steps".

/// A page that is to be read instead, after a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refresh {
    pub seconds: u64,
    /// As it is written; empty for the page itself.
    pub url: String,
}

/// Whoever waits longer than this reads the page; what comes after it is for them.
const LONGEST_WAIT: u64 = 10;

impl Refresh {
    /// Whether it sends the reader on, at once or soon, rather than loading the page anew.
    pub(super) fn is_onward(&self) -> bool {
        self.seconds <= LONGEST_WAIT && !self.url.is_empty()
    }
}

/// None if the standard has it ignored.
pub(super) fn parse(content: &str) -> Option<Refresh> {
    let is_space = |c: char| matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' ');
    let rest = content.trim_start_matches(is_space);
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (time, rest) = rest.split_at(digits);
    if time.is_empty() && !rest.starts_with('.') {
        return None;
    }
    let seconds = if time.is_empty() { 0 } else { time.parse().unwrap_or(u64::MAX) };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let itself = Refresh { seconds, url: String::new() };
    let Some(next) = rest.chars().next() else { return Some(itself) };
    if !matches!(next, ';' | ',') && !is_space(next) {
        return None;
    }
    let rest = rest.trim_start_matches(is_space);
    let rest = rest.strip_prefix([';', ',']).unwrap_or(rest).trim_start_matches(is_space);
    if rest.is_empty() {
        return Some(itself);
    }
    let url = named(rest, is_space).unwrap_or(rest);
    let url = match url.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inside = &url[1..];
            inside.split(quote).next().unwrap_or(inside)
        }
        _ => url,
    };
    Some(Refresh { seconds, url: url.to_owned() })
}

/// What stands behind `url` and `=`, if the text begins with them.
fn named(text: &str, is_space: impl Fn(char) -> bool + Copy) -> Option<&str> {
    let head = text.get(..3)?;
    let rest = head.eq_ignore_ascii_case("url").then(|| text[3..].trim_start_matches(is_space))?;
    rest.strip_prefix('=').map(|rest| rest.trim_start_matches(is_space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_read_as_browsers_read_them() {
        for (content, right) in [
            ("0; URL=/home.html", Some((0, "/home.html"))),
            ("0;url='a b'c", Some((0, "a b"))),
            ("0;url=\"a", Some((0, "a"))),
            (" 3 , url = x", Some((3, "x"))),
            ("0;/a", Some((0, "/a"))),
            ("0 /a", Some((0, "/a"))),
            ("0;urlx", Some((0, "urlx"))),
            ("0;URL", Some((0, "URL"))),
            ("1.7;url=a", Some((1, "a"))),
            (".5;url=a", Some((0, "a"))),
            ("99999999999999999999999;url=a", Some((u64::MAX, "a"))),
            ("5", Some((5, ""))),
            ("5;", Some((5, ""))),
            ("0;url=首页", Some((0, "首页"))),
            ("0;首页", Some((0, "首页"))),
            ("url=/a", None),
            ("0x;url=a", None),
            ("-1;url=a", None),
            ("", None),
        ] {
            let found = parse(content);
            assert_eq!(found.as_ref().map(|r| (r.seconds, r.url.as_str())), right, "{content:?}");
        }
        let onward = |content| parse(content).is_some_and(|refresh| refresh.is_onward());
        assert!(onward("10;url=a") && !onward("11;url=a") && !onward("0"));
    }
}
