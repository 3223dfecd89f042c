//! What the writer of a reply wants, and what follows from it.
//!
//! Where nobody says what a reply means, its words are judged by rule, in English, German, Chinese, French and Spanish: first
//! the writer's own words are told from those that came along (`own_words`), then these are judged (`judge`) by tables of
//! phrases, one for each language (`phrases`). To read a refusal as interest would be the worst, since it would be answered with
//! more letters; to read a yes as a refusal the second; so what is not plain is `Other`, which a person looks at.

mod fold;
mod judge;
mod offer;
mod own_words;
mod phrases;
mod ways_out;

pub use judge::judge;
pub use offer::offers_way_out;

use super::named_enum::named_enum;

named_enum! {
    /// What the writer of a reply wants.
    pub enum Intent {
        Interested = "interested",
        NotInterested = "not_interested",
        /// Never to be written to again.
        Unsubscribe = "unsubscribe",
        Question = "question",
        /// A machine answered.
        Away = "away",
        Other = "other",
    }
}

named_enum! {
    /// How a prospect has taken to being written to.
    pub enum Engagement {
        None = "none",
        Awaiting = "awaiting",
        Engaged = "engaged",
        Interested = "interested",
        NotInterested = "not_interested",
    }
}

// === impl Intent ===

impl Intent {
    /// Whether a person wrote it.
    pub fn is_personal(self) -> bool {
        self != Self::Away
    }
}

// === impl Engagement ===

impl Engagement {
    /// Follows from whether anything was sent, how many replies people wrote, and the last of them that says whether its
    /// writer wants more or not.
    pub fn of(sent: u32, replies: u32, decided: Option<Intent>) -> Self {
        match decided {
            Some(Intent::Interested) => Self::Interested,
            Some(Intent::NotInterested | Intent::Unsubscribe) => Self::NotInterested,
            _ if replies > 0 => Self::Engaged,
            _ if sent > 0 => Self::Awaiting,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_interested_never_reads_as_interested() {
        for text in [
            "Not interested.",
            "We are not interested",
            "Thanks, but we're really not that interested in this.",
            "I am not at all interested in your offer!",
            "I don't think we would be interested.",
            "Sorry, nobody here is interested",
            "We have no interest whatsoever in this",
            "Sounds good, but we are not interested.",
            "Interesting mail. Not interested though.",
            "I’m NOT   interested",
            "We aren’t interested at this time",
            "Can't say I'm interested",
            "It is hardly of interest to us",
            "No thanks.",
            "No",
            "Kein Interesse.",
            "Wir sind leider nicht interessiert",
            "Danke, wir haben daran keinerlei Interesse",
            "我们对此不感兴趣。",
            "没有兴趣，谢谢",
            "暂时不需要",
        ] {
            assert_eq!(judge("Re: hello", text), Intent::NotInterested, "{text}");
        }
    }

    #[test]
    fn each_intent_is_told_by_plain_words() {
        for (text, intent) in [
            ("Yes, we are interested. When can we talk?", Intent::Interested),
            ("Sounds good, tell me more", Intent::Interested),
            ("Das klingt interessant, wann passt es Ihnen?", Intent::Interested),
            ("我们很感兴趣，可以聊聊吗？", Intent::Interested),
            ("How much is it?", Intent::Question),
            ("价格是多少？", Intent::Question),
            ("Please remove me from your list", Intent::Unsubscribe),
            ("STOP", Intent::Unsubscribe),
            ("Not interested, please unsubscribe us.", Intent::Unsubscribe),
            ("Bitte nicht mehr anschreiben", Intent::Unsubscribe),
            ("请不要再发邮件", Intent::Unsubscribe),
            ("I am out of office until Monday. I may be interested.", Intent::Away),
            ("自动回复：我正在休假", Intent::Away),
            ("Please remove me from your list, I am on vacation", Intent::Unsubscribe),
            ("I am on vacation, and not interested anyway", Intent::NotInterested),
            ("Maybe interested, not sure yet", Intent::Other),
            ("Thank you for your mail.", Intent::Other),
            ("", Intent::Other),
        ] {
            assert_eq!(judge("", text), intent, "{text}");
        }
    }

    #[test]
    fn the_subject_is_ours_and_tells_of_machines_alone() {
        assert_eq!(judge("Re: Interested in tools?", "Thank you for your mail."), Intent::Other);
        assert_eq!(judge("Re: No more emails lost", "Thank you for your mail."), Intent::Other);
        assert_eq!(judge("Automatic reply: Tools", "I am back on Monday."), Intent::Away);
    }

    #[test]
    fn what_is_quoted_is_not_what_the_writer_says() {
        let ours = "We thought you may be interested. Reply STOP to unsubscribe.";
        for reply in [
            format!("Who are you?\n\nOn Mon, 2 Mar 2026 Herald wrote:\n> {ours}"),
            format!("Who are you?\n> {ours}"),
            format!("Who are you?\n-----Original Message-----\n{ours}"),
        ] {
            assert_eq!(judge("Re: partners", &reply), Intent::Question, "{reply}");
        }
    }

    /// Replies as mail programs send them, with what a person would say that their writers want.
    #[derive(serde::Deserialize)]
    struct Case {
        id: String,
        subject: String,
        body: String,
        /// Any of these is right.
        want: Vec<String>,
    }

    #[test]
    fn the_corpus_is_read_as_a_person_reads_it() {
        let corpus: Vec<Case> = serde_json::from_str(include_str!("../../tests/corpus/replies.json")).expect("JSON");
        assert!(corpus.len() >= 900);
        let misread = |case: &Case| {
            let read = judge(&case.subject, &case.body).as_str().to_uppercase();
            (!case.want.contains(&read)).then(|| format!("{}: {read}, not {}", case.id, case.want.join(" or ")))
        };
        let misread: Vec<_> = corpus.iter().filter_map(misread).collect();
        assert!(misread.is_empty(), "{} of {}:\n{}", misread.len(), corpus.len(), misread.join("\n"));
    }

    #[test]
    fn engagement_follows_from_the_last_reply_that_decides() {
        assert_eq!(Engagement::of(0, 0, None), Engagement::None);
        assert_eq!(Engagement::of(1, 0, None), Engagement::Awaiting);
        assert_eq!(Engagement::of(1, 1, None), Engagement::Engaged);
        assert_eq!(Engagement::of(1, 2, Some(Intent::Interested)), Engagement::Interested);
        assert_eq!(Engagement::of(1, 2, Some(Intent::NotInterested)), Engagement::NotInterested);
        assert_eq!(Engagement::of(0, 1, Some(Intent::Unsubscribe)), Engagement::NotInterested);
    }
}
