//! What stands below each letter of a mailbox.

use super::text;

/// The line that programs know a signature by.
const DELIMITER: &str = "-- ";

/// The letter with the mailbox's signature and postal address below it, as mail programs write them (RFC 3676, 4.3). What it has
/// already is not written again: a person may have put it in, and a letter that is made anew keeps one footer.
pub fn with_footer(body: &str, signature: &str, postal_address: &str) -> String {
    let body = text::clean(body);
    let mut letter = body.trim_end().to_owned();
    let mut has_footer = lines(&letter).contains(&DELIMITER.trim_end());
    for part in [signature, postal_address] {
        let part = text::clean(part);
        // A delimiter of its own would begin a second footer.
        let part: Vec<_> = lines(part.trim()).into_iter().filter(|line| *line != DELIMITER.trim_end()).collect();
        let part = part.join("\n");
        if part.trim().is_empty() || holds(&letter, part.trim()) {
            continue;
        }
        letter.push_str(if has_footer { "\n\n" } else { "\n\n-- \n" });
        letter.push_str(part.trim());
        has_footer = true;
    }
    letter
}

/// Without what nobody sees at their ends.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim_end).collect()
}

/// Whether the lines of a part stand in the letter, one after the other.
fn holds(letter: &str, part: &str) -> bool {
    let (letter, part) = (lines(letter), lines(part));
    letter.windows(part.len()).any(|some| some == part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_footer_stands_below_the_letter_once() {
        let whole = "Dear Kim,\n\nBest\n\n-- \nAnna Berg\nAcme\n\n1 High Street\nLondon";
        let sent = with_footer("Dear Kim,\n\nBest\n", "Anna Berg\r\nAcme\n", "1 High Street\nLondon");
        assert_eq!(sent, whole);
        assert_eq!(with_footer(&sent, "Anna Berg\nAcme", "1 High Street\nLondon"), whole);
        assert_eq!(with_footer("Hi", "", "1 High Street"), "Hi\n\n-- \n1 High Street");
        assert_eq!(with_footer("Hi", "-- \nAnna", ""), "Hi\n\n-- \nAnna", "with its own delimiter");
        assert_eq!(with_footer("Hi\n\n-- \nAnna", "Anna", "1 High Street"), "Hi\n\n-- \nAnna\n\n1 High Street");
        assert_eq!(with_footer("Hi\nAnna  \n", "Anna", " \n"), "Hi\nAnna", "put in by a person");
        // A part of a line is no signature.
        assert_eq!(with_footer("Hi Anna", "Anna", ""), "Hi Anna\n\n-- \nAnna");
    }

    proptest! {
        #[test]
        fn a_letter_that_is_made_anew_has_one_footer(
            body in "(-- |a|b| |\r?\n){0,12}", signature in "(-- |--|a|b| |\r?\n){0,8}", postal in "(-- |a|c|\n){0,6}"
        ) {
            let once = with_footer(&body, &signature, &postal);
            prop_assert_eq!(with_footer(&once, &signature, &postal), once.clone());
            prop_assert!(once.starts_with(text::clean(&body).trim_end()));
        }
    }
}
