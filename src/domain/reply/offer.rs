//! Whether a letter says how to get no more of them.

use super::Intent;
use super::fold::fold;
use super::judge::judge;
use super::ways_out::is_answer;

/// Words of leaving, folded.
const LEAVING: [&str; 8] =
    ["unsubscribe", "opt out", "opt-out", "abbestell", "abmeld", "desinscri", "desabonn", "darse de baja"];
/// Words that ask for an answer, folded.
const ASKING: [&str; 8] = ["reply", "answer", "write back", "antwort", "repond", "respond", "contest", "回复"];
/// What is quoted is looked at as an answer up to this length, in characters, and so many of them.
const LONGEST_ANSWER: usize = 60;
const MOST_QUOTED: usize = 20;

/// Whether a letter says how to get no more of them: what to answer, in quotation marks, or in a word that means nothing else.
pub fn offers_way_out(letter: &str) -> bool {
    let folded = fold(letter);
    LEAVING.iter().any(|word| folded.contains(word)) || folded.lines().any(asks_for_refusal)
}

/// Whether the folded line says which refusal to answer.
fn asks_for_refusal(line: &str) -> bool {
    let asks = ASKING.iter().any(|word| line.contains(word));
    let quoted = line.split('"').skip(1).step_by(2).filter(|text| text.chars().count() <= LONGEST_ANSWER);
    quoted
        .take(MOST_QUOTED)
        .any(|text| is_answer(text) || asks && matches!(judge("", text), Intent::NotInterested | Intent::Unsubscribe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_out_is_an_answer_that_is_quoted_or_a_word_of_leaving() {
        for (letter, offers) in [
            ("Hello.\n\nTo hear no more, reply \"no thanks\".", true),
            ("Reply “stop” and we stop.", true),
            ("Antworten Sie „Kein Interesse“.", true),
            ("To unsubscribe, write to us.", true),
            ("Zum Abbestellen genügt ein Wort.", true),
            ("Pour vous désinscrire, répondez à ce message.", true),
            ("回复“退订”即可。", true),
            ("Our slogan is “No waste”.", false),
            ("Reply \"yes\" and we call you.", false),
            ("Hello \"world\".", false),
            ("No thanks are needed.", false),
            ("", false),
        ] {
            assert_eq!(offers_way_out(letter), offers, "{letter}");
        }
    }
}
