//! What the writer of a reply wants, and what follows from it.
//!
//! Where nobody says what a reply means, its words are judged by rule, in English, German and Chinese. The rule errs on the
//! side of the writer: a refusal is looked for first and outweighs everything else, "not interested" never reads as
//! interested, and what is not plain is `Other`. Only what the writer added counts, not what is quoted below it.

use serde::{Deserialize, Serialize};

/// What the writer of a reply wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    Interested,
    NotInterested,
    /// Never to be written to again.
    Unsubscribe,
    Question,
    /// A machine answered.
    Away,
    Other,
}

/// How a prospect has taken to being written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engagement {
    None,
    Awaiting,
    Engaged,
    Interested,
    NotInterested,
}

/// Asks never to be written to again.
const UNSUBSCRIBE: &[&str] = &[
    "unsubscribe",
    "remove me",
    "remove us",
    "take me off",
    "take us off",
    "stop emailing",
    "stop e-mailing",
    "stop writing",
    "stop sending",
    "stop contacting",
    "do not contact",
    "don't contact",
    "do not email",
    "don't email",
    "do not write",
    "don't write",
    "no more emails",
    "no more e-mails",
    "never contact",
    "opt out",
    "opt me out",
    "abmelden",
    "austragen",
    "keine weiteren e-mails",
    "keine weiteren mails",
    "keine e-mails mehr",
    "keine mails mehr",
    "nicht mehr anschreiben",
    "nicht mehr kontaktieren",
    "aus dem verteiler",
    "退订",
    "取消订阅",
    "不要再发",
    "别再发",
    "请勿再",
    "不要再联系",
    "别再联系",
];

/// Refuses.
const REFUSES: &[&str] = &[
    "not interested",
    "no interest",
    "not really interested",
    "not currently interested",
    "not at all interested",
    "isn't of interest",
    "not of interest",
    "uninterested",
    "disinterested",
    "aren't interested",
    "isn't interested",
    "am not interest",
    "never interested",
    "no longer interested",
    "wouldn't be interested",
    "would not be interested",
    "won't be interested",
    "not be interested",
    "don't have any interest",
    "do not have any interest",
    "can't say i'm interested",
    "not for us",
    "not for me",
    "not a fit",
    "not a good fit",
    "not the right fit",
    "no thanks",
    "no thank you",
    "no, thanks",
    "no, thank you",
    "we'll pass",
    "i'll pass",
    "we will pass",
    "i will pass",
    "have to decline",
    "must decline",
    "we decline",
    "i decline",
    "not looking for",
    "don't need",
    "do not need",
    "kein interesse",
    "keinerlei interesse",
    "nicht interessiert",
    "nicht interessant",
    "keinen bedarf",
    "kein bedarf",
    "nein danke",
    "nein, danke",
    "不感兴趣",
    "没有兴趣",
    "没兴趣",
    "无兴趣",
    "不需要",
    "没有需求",
    "暂无需求",
    "不考虑",
    "谢绝",
];

/// Wants more.
const WANTS: &[&str] = &[
    "interested",
    "sounds good",
    "sounds great",
    "sounds interesting",
    "would love to",
    "i'd love to",
    "we'd love to",
    "happy to talk",
    "happy to chat",
    "happy to meet",
    "let's talk",
    "let us talk",
    "let's meet",
    "let's schedule",
    "let's set up",
    "schedule a call",
    "set up a call",
    "book a call",
    "send me more",
    "send us more",
    "tell me more",
    "tell us more",
    "looking forward to",
    "interesse",
    "interessiert",
    "klingt gut",
    "klingt interessant",
    "gerne mehr",
    "termin vereinbaren",
    "感兴趣",
    "有兴趣",
    "愿意了解",
    "想了解",
    "可以聊聊",
    "约个时间",
    "期待合作",
];

/// Leaves open whether the writer wants more, whatever else is said.
const HEDGES: &[&str] =
    &["not sure", "unsure", "not yet", "maybe", "perhaps", "vielleicht", "nicht sicher", "不确定", "也许"];

/// Says that a machine answered.
const AWAY: &[&str] = &[
    "out of office",
    "out of the office",
    "automatic reply",
    "auto-reply",
    "autoreply",
    "on vacation",
    "on annual leave",
    "on parental leave",
    "abwesenheitsnotiz",
    "nicht im büro",
    "nicht im hause",
    "im urlaub",
    "自动回复",
    "休假",
    "不在办公室",
];

/// What the words of a reply want.
pub fn judge(subject: &str, body: &str) -> Intent {
    let text = plain(&own_words(body));
    let says = |list: &[&str]| list.iter().any(|words| text.contains(words));
    // A whole reply of one word.
    let word = text.trim().trim_matches(['.', '!', '。', '！']);
    // The subject is ours, behind `Re:`; only a machine changes it.
    let subject = plain(subject);
    if says(UNSUBSCRIBE) || word == "stop" {
        Intent::Unsubscribe
    } else if says(REFUSES) || refuses_by_distance(&text) || matches!(word, "no" | "nein" | "不" | "不用") {
        Intent::NotInterested
    } else if says(AWAY) || AWAY.iter().any(|words| subject.contains(words)) {
        Intent::Away
    } else if says(WANTS) && !says(HEDGES) {
        Intent::Interested
    } else if text.contains(['?', '？']) {
        Intent::Question
    } else {
        Intent::Other
    }
}

/// A negation a few words before "interested": "I don't think that we are interested".
fn refuses_by_distance(text: &str) -> bool {
    const NEGATIONS: &[&str] = &[
        "not", "no", "never", "nobody", "none", "nor", "neither", "without", "hardly", "nicht", "kein", "keine",
        "keinen",
    ];
    text.split(['.', '!', '?', ';', '\n']).any(|sentence| {
        let words: Vec<_> =
            sentence.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).collect();
        let negates = |word: &&str| NEGATIONS.contains(word) || word.ends_with("n't");
        words.iter().enumerate().any(|(at, word)| {
            let wants = word.starts_with("interest") || word.starts_with("interess");
            // "I have no doubt that we are interested" is judged as a refusal too: a person looks, and nothing is sent.
            wants && words[at.saturating_sub(8)..at].iter().any(negates)
        })
    })
}

/// Lower case, with one kind of apostrophe and of space.
fn plain(text: &str) -> String {
    let text = text.replace(['’', '‘', '`', '´'], "'").to_lowercase();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

/// What the writer added: without quoted lines, and without what follows the line that introduces the quotation.
fn own_words(body: &str) -> String {
    let introduces = |line: &str| {
        let line = line.trim();
        let lower = line.to_lowercase();
        (lower.starts_with("on ") && lower.ends_with("wrote:"))
            || (lower.starts_with("am ") && lower.ends_with("schrieb:"))
            || line.ends_with("写道：")
            || line.ends_with("写道:")
            || lower.starts_with("-----original message")
            || lower.starts_with("-----ursprüngliche nachricht")
            || lower.starts_with("________________________________")
    };
    let own = body.lines().take_while(|line| !introduces(line)).filter(|line| !line.trim_start().starts_with('>'));
    own.collect::<Vec<_>>().join("\n")
}

// === impl Intent ===

impl Intent {
    pub const ALL: [Self; 6] =
        [Self::Interested, Self::NotInterested, Self::Unsubscribe, Self::Question, Self::Away, Self::Other];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interested => "interested",
            Self::NotInterested => "not_interested",
            Self::Unsubscribe => "unsubscribe",
            Self::Question => "question",
            Self::Away => "away",
            Self::Other => "other",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|intent| intent.as_str() == name)
    }

    /// Whether a person wrote it.
    pub fn is_personal(self) -> bool {
        self != Self::Away
    }
}

// === impl Engagement ===

impl Engagement {
    pub const ALL: [Self; 5] = [Self::None, Self::Awaiting, Self::Engaged, Self::Interested, Self::NotInterested];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Awaiting => "awaiting",
            Self::Engaged => "engaged",
            Self::Interested => "interested",
            Self::NotInterested => "not_interested",
        }
    }

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

    /// How many of the corpus the judge misreads. It may only fall.
    const MISREAD: usize = 539;

    #[test]
    fn the_corpus_is_read_as_a_person_reads_it() {
        let corpus: Vec<Case> = serde_json::from_str(include_str!("../../tests/corpus/replies.json")).expect("JSON");
        assert!(corpus.len() >= 800);
        let misread = |case: &Case| {
            let read = judge(&case.subject, &case.body).as_str().to_uppercase();
            (!case.want.contains(&read)).then(|| format!("{}: {read}, not {}", case.id, case.want.join(" or ")))
        };
        let misread: Vec<_> = corpus.iter().filter_map(misread).collect();
        assert_eq!(misread.len(), MISREAD, "of {}:\n{}", corpus.len(), misread.join("\n"));
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
