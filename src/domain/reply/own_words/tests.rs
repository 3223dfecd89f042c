use super::super::{Intent, judge, ways_out};
use super::forms::{HEADER_EXAMPLES, TITLE_EXAMPLES};
use super::*;
use crate::domain::agent_config::{self, AgentSettings};
use crate::domain::letterhead::Letterhead;
use crate::domain::prospect::ProspectFields;
use crate::domain::state::Goal;
use crate::domain::template;
use crate::domain::website::WebsiteAnalysis;

/// Every built-in letter in every language, for each of the goals, with all that it can say.
fn letters(goals: &[Goal]) -> Vec<String> {
    let website = |language: &str| WebsiteAnalysis {
        url: "https://fernwick.example/".into(),
        business_name: "Fernwick".into(),
        introduction: "Fernwick makes soil sensors.".into(),
        language: language.into(),
        ..Default::default()
    };
    let prospect = |language: &str| ProspectFields {
        contact_name: "Anna Berg".into(),
        company: "Greenleaf".into(),
        position: "Head of Operations".into(),
        industry: "horticulture".into(),
        location: "Venlo".into(),
        language: language.into(),
        ..Default::default()
    };
    let sender = agent_config::Sender { name: "Ruth Adler".into(), position: "Founder".into(), ..Default::default() };
    let detail = "We are interested in how you measure today. Shall we talk?";
    let mut out = Vec::new();
    for template in template::built_in() {
        for (goal, text) in goals.iter().flat_map(|goal| template.settings.texts.iter().map(move |text| (goal, text))) {
            let settings = AgentSettings { sender: sender.clone(), ..Default::default() };
            let letterhead =
                Letterhead::new(&template.settings.texts, settings, website(&text.language), *goal, detail.to_owned());
            let letter = letterhead.expect("a letterhead").write(&prospect(&text.language), None);
            out.push(letter.expect("it renders").body);
        }
    }
    out
}

/// What every program puts over a letter.
fn introductions() -> impl Iterator<Item = &'static str> {
    let attributions = ATTRIBUTIONS.iter().flat_map(|row| row.examples);
    attributions.chain(TITLE_EXAMPLES).chain(HEADER_EXAMPLES).copied()
}

const OWN: [(&str, Intent); 10] = [
    ("Yes, let's talk.", Intent::Interested),
    ("No thanks", Intent::NotInterested),
    ("Please remove me from your list.", Intent::Unsubscribe),
    ("Who are you?", Intent::Question),
    ("Thank you for your mail.", Intent::Other),
    ("Gerne, rufen Sie mich an.", Intent::Interested),
    ("Kein Interesse.", Intent::NotInterested),
    ("感兴趣，请联系我。", Intent::Interested),
    ("不用了", Intent::NotInterested),
    ("請取消訂閱", Intent::Unsubscribe),
];

fn marked(text: &str) -> String {
    text.lines().map(|line| format!("> {line}\n")).collect()
}

/// As programs wrap a text, the marks counted.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut width = 0;
        for word in line.split_inclusive(' ') {
            if width > 0 && width + word.chars().count() > 70 {
                out.push('\n');
                width = 0;
            }
            width += word.chars().count();
            out.push_str(word);
        }
        out.push('\n');
    }
    out
}

#[test]
fn every_letter_under_every_programs_header_leaves_the_own_words_alone() {
    for (n, letter) in letters(&[Goal::Customers]).into_iter().enumerate() {
        for (m, introduction) in introductions().enumerate() {
            // Each with some of the own words, and all of these under each.
            for (own, intent) in (0..OWN.len()).step_by(4).map(|k| OWN[(n + m + k) % OWN.len()]) {
                for quotation in [
                    format!("{introduction}\n\n{letter}"),
                    format!("{introduction}\n{}", wrapped(&letter)),
                    format!("{introduction}\n\n{}", marked(&letter)),
                    marked(&format!("{introduction}\n\n{}", wrapped(&letter))),
                ] {
                    let reply = format!("{own}\n\nAnna\n\n{quotation}");
                    assert_eq!(judge("Re: partners", &reply), intent, "{reply}\n\nOwn: {}", own_words(&reply));
                }
            }
        }
    }
}

#[test]
fn answers_below_and_between_marked_lines_count() {
    for letter in letters(&[Goal::Press]) {
        let (first, rest) = letter.split_once("\n\n").expect("paragraphs");
        for row in ATTRIBUTIONS {
            for introduction in row.examples {
                for (own, intent) in OWN {
                    let below = format!("{introduction}\n{}\n{own}\n\nAnna", marked(&letter));
                    let between = format!("{introduction}\n{}\n{own}\n\n{}", marked(first), marked(rest));
                    for reply in [below, between] {
                        assert_eq!(judge("Re: partners", &reply), intent, "{reply}\n\nOwn: {}", own_words(&reply));
                    }
                }
            }
        }
    }
}

#[test]
fn every_letters_way_out_is_an_answer_that_is_known_and_refuses_nothing_by_itself() {
    let letters = letters(&Goal::ALL);
    for letter in &letters {
        let last = fold(letter.trim().lines().last().expect("a line"));
        let way_out = ways_out::ways_out().iter().find(|way_out| way_out.text == last);
        let way_out = way_out.unwrap_or_else(|| panic!("no way out is known for {last}"));
        assert!(!way_out.answers.is_empty(), "it says in quotation marks what to answer: {last}");
        for answer in &way_out.answers {
            for reply in [answer.clone(), answer.to_uppercase(), format!("\"{answer}\""), format!("{answer}.\n\nAnna")]
            {
                let intent = judge("Re: partners", &reply);
                assert!(matches!(intent, Intent::NotInterested | Intent::Unsubscribe), "{reply}: {intent:?}");
            }
        }
        // Where the letter came along in a form that nobody knows, its way out is not the writer's.
        let (own, intent) = OWN[0];
        assert_eq!(judge("Re: partners", &format!("{own}\n\n{last}")), intent, "{last}");
    }
    // A language that a letter has and this test does not would be missing here.
    let texts: usize = template::built_in().iter().map(|letter| letter.settings.texts.len()).sum();
    assert_eq!(letters.len(), 3 * texts, "letters() renders every language of every letter");
}

#[test]
fn what_stands_under_every_mail_is_not_what_its_writer_says() {
    for under in [
        "-- \nKim Roth\nUnsubscribe from everything",
        "Mit freundlichen Grüßen\nKim Roth\nKein Interesse an Post? www.acme.example",
        "Sent from my iPhone",
        "This e-mail is confidential. If you are not the intended recipient, delete it.\n\nNot interested in paper.",
        "To unsubscribe from our newsletter click here: https://acme.example/u",
        "Thanks\n\nKim Roth\nAcme",
        "________________\nStop. Remove me.",
    ] {
        for (own, intent) in OWN {
            let reply = format!("Hello,\n\n{own}\n\n{under}");
            assert_eq!(judge("Re: partners", &reply), intent, "{reply}\n\nOwn: {}", own_words(&reply));
        }
    }
}

/// Twenty thousand characters of whatever kind are read in one pass. The bound is a hundred times what it takes.
#[test]
fn hostile_texts_take_no_longer_than_others() {
    let of = |piece: &str| piece.repeat(20_000 / piece.len());
    let start = std::time::Instant::now();
    for text in [
        of(">"),
        of("> "),
        of(">\n"),
        of("On "),
        of("On 1\n"),
        of("on 1 @ wrote\n"),
        of("x wrote:\n"),
        of("From:\n"),
        of("From: a@b\n\n"),
        of("a@b.c\n"),
        of("--\n"),
        of("-"),
        of("not "),
        of("no interest "),
        of("not interested "),
        of("interested "),
        of("remove my "),
        of("do not "),
        of("if you "),
        of("不"),
        of("不要再"),
        of("請把"),
        of("?"),
        of(". "),
        of("a,"),
        of("\""),
        of("unsubscribe\n"),
        of("e-mail"),
        of("\u{301}"),
        of("---1:---"),
        of("from: to: "),
        of("re:"),
    ] {
        judge(&text, &text);
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
