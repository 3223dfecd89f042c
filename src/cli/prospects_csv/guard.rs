//! Cells that no spreadsheet takes for a formula, and back to what they were.
//!
//! A cell that begins with a sign of formulas gets an apostrophe. So does a part of a cell behind what another program may
//! take for a separator, where a cell of its own would begin: with semicolons a comma-separated file falls apart elsewhere
//! (OWASP, "CSV Injection"). A cell that begins with apostrophes gets one more. The way back takes away what was added
//! and nothing else: both look at what stands behind the apostrophes, which neither changes.

/// Signs with which formulas begin, and full-width ones, which some programs read as those.
const SIGNS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
/// Behind these another program may begin a cell.
const SEPARATORS: [char; 10] = [',', ';', '|', '\t', '\r', '\n', '，', '；', '｜', '、'];

/// The cell as it is safe in a spreadsheet.
pub(super) fn safe(text: &str) -> String {
    each_run(text, |run, is_first, is_formula| if is_formula || (is_first && run > 0) { run + 1 } else { run })
}

/// The cell as it was before it was made safe.
pub(super) fn plain(text: &str) -> String {
    each_run(text, |run, is_first, is_formula| match run {
        1.. if is_formula || (is_first && run > 1) => run - 1,
        run => run,
    })
}

/// Writes the text with as many apostrophes as `wanted` says, at each place where a cell may begin: given how many stand
/// there, whether it is the beginning of the text, and whether a sign of formulas follows.
fn each_run(text: &str, wanted: impl Fn(usize, bool, bool) -> usize) -> String {
    let (mut out, mut rest, mut may_begin) = (String::with_capacity(text.len() + 1), text, true);
    loop {
        if may_begin {
            let behind = rest.trim_start_matches('\'');
            let run = rest.len() - behind.len();
            let wanted = wanted(run, rest.len() == text.len(), behind.starts_with(SIGNS));
            out.extend(std::iter::repeat_n('\'', wanted));
            may_begin = run == 0;
            rest = behind;
        }
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { return out };
        // Blanks and quotes do not make a beginning, and do not end one.
        may_begin = SEPARATORS.contains(&c) || (may_begin && (c == '"' || c.is_whitespace()));
        out.push(c);
        rest = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_begins_as_a_formula_gets_an_apostrophe_and_loses_it_again() {
        for (text, guarded) in [
            ("=1", "'=1"),
            ("+49 30", "'+49 30"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\t=1", "'\t'=1"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠x", "'＠x"),
            ("'n Drukkery", "''n Drukkery"),
            ("''=x", "'''=x"),
            ("'", "''"),
            ("a;=1", "a;'=1"),
            ("a, +1", "a, '+1"),
            ("a|\"@x", "a|\"'@x"),
            (" \"=1", " \"'=1"),
            ("a\n- b", "a\n'- b"),
            ("a\t=b", "a\t'=b"),
            ("a;'=1", "a;''=1"),
        ] {
            assert_eq!(safe(text), guarded, "{text:?}");
            assert_eq!(plain(guarded), text, "{guarded:?}");
        }
        for text in ["a=b", "a -b", "it's", "rock 'n' roll", "a; 'b'", "kim@acme.example", "\"Acme\" - Co", ""] {
            assert_eq!(safe(text), text);
        }
    }

    #[test]
    fn what_others_wrote_is_not_changed_but_for_a_guard() {
        for text in ["'n Drukkery", "'", "it's", "a; 'b'"] {
            assert_eq!(plain(text), text);
        }
        assert_eq!(plain("'+49 30 1234"), "+49 30 1234");
    }

    proptest! {
        #[test]
        fn what_is_made_safe_is_safe_and_can_be_undone(text in "([=+@',;|\" \t\r\n＝＋－＠a-]|.){0,12}") {
            let guarded = safe(&text);
            prop_assert_eq!(plain(&guarded), text);
            for cell in guarded.split(SEPARATORS) {
                let begin = cell.trim_start_matches(|c: char| c == '"' || c.is_whitespace());
                prop_assert!(!begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{:?}", guarded);
            }
        }
    }
}
