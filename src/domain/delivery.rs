//! What a mail server's answer means for the e-mail, for its recipient and for the mailbox that it is sent from.
//!
//! The decision is a table, [`fate`]: by the stage of the talk, then by the enhanced status code (RFC 3463), then by the reply code
//! (RFC 5321), and by the server's words only where it gives nothing else. In doubt the e-mail alone fails: nobody is suppressed for
//! what may be the sender's own fault.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::named_enum::named_enum;
use super::text;

/// The longest text of an answer that is kept, in characters.
pub const MAX_WORDS: usize = 300;
/// The most lines of a transcript: two whole talks, since a connection that was kept may be opened once more.
pub const MAX_LINES: usize = 40;
/// The longest id of a server, in characters.
const MAX_SERVER_ID: usize = 200;

named_enum! {
    /// Where a talk with a mail server stands; in order.
    pub enum Stage {
        /// The name is resolved and the address connected to.
        Connect = "connect",
        /// From plain text to TLS, by STARTTLS or at once.
        Tls = "tls",
        Greeting = "greeting",
        Hello = "hello",
        /// Not of the mail server: the access token of an OAuth sign-in.
        Token = "token",
        SignIn = "sign_in",
        /// MAIL FROM.
        Sender = "sender",
        /// RCPT TO.
        Recipient = "recipient",
        Data = "data",
        /// The letter, up to the final dot and the answer to it.
        Content = "content",
        Reset = "reset",
    }
}

/// An enhanced status code: 5.7.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Enhanced {
    pub class: u8,
    pub subject: u16,
    pub detail: u16,
}

/// What a server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub code: u16,
    pub enhanced: Option<Enhanced>,
    /// Its words on one line, without the codes; tamed and bounded.
    pub text: String,
}

/// What became of an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The server has it, and may have given it an id of its own.
    Taken { server_id: Option<String> },
    /// Nobody is reached at this address: it has bounced, and is suppressed.
    Bounced,
    /// Refused for a policy: this e-mail fails, nobody is suppressed; the mailbox pauses where it is to blame.
    Policy { blames_mailbox: bool },
    /// This e-mail fails, and that tells nothing of its recipient or its mailbox: it is too large, say.
    Unfit,
    /// Nothing was taken, and it may be tried again later.
    NotNow,
    /// The server does not let the mailbox in: its sign-in, its certificate, its address. Nothing of the e-mail's.
    SignInRefused,
    /// Who sends has lost the right to: nothing was sent.
    Withdrawn,
    /// The connection died after the final dot: it may have been taken, and is never tried again by itself.
    Unclear,
}

/// One stage of a talk, as a person reads it: no content, no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub stage: Stage,
    /// None where there was no answer; the words are Herald's then.
    pub code: Option<u16>,
    pub enhanced: Option<Enhanced>,
    /// How long it took.
    pub millis: u64,
    pub words: String,
}

/// A talk, stage by stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Transcript {
    pub lines: Vec<Line>,
}

/// What the answer means that has ended a talk at this stage: every refusal, and any answer to the final dot.
pub fn fate(stage: Stage, answer: &Answer) -> Fate {
    match (stage, answer.code) {
        (Stage::Content, 200..300) => Fate::Taken { server_id: server_id(&answer.text) },
        (_, 400..500) => Fate::NotNow,
        (_, 500..600) => refusal(stage, answer),
        // What no server may answer here: after the dot nobody knows what it means.
        (Stage::Content, _) => Fate::Unclear,
        _ => Fate::NotNow,
    }
}

/// What it means that an e-mail came back which a server had taken: with its status code, or at least whether that is for good. It is
/// what the recipient's server would have answered at RCPT.
pub fn returned(permanent: bool, status: Option<Enhanced>, diagnostic: &str) -> Fate {
    if !permanent {
        return Fate::NotNow;
    }
    refusal(Stage::Recipient, &Answer { code: 550, enhanced: status, text: diagnostic.to_owned() })
}

/// What a 5xx means.
fn refusal(stage: Stage, answer: &Answer) -> Fate {
    // Of the e-mail nothing was said yet; and 530 to 538 ask for a sign-in wherever they come.
    let blames = answer.enhanced.is_some_and(Enhanced::blames_mailbox);
    match stage {
        Stage::SignIn | Stage::Token => return Fate::SignInRefused,
        _ if (530..540).contains(&answer.code) => return Fate::SignInRefused,
        Stage::Connect | Stage::Tls | Stage::Greeting | Stage::Hello if !blames => return Fate::SignInRefused,
        _ => {}
    }
    let fate = match answer.enhanced {
        Some(enhanced) => by_enhanced(stage, enhanced),
        None => by_reply(stage, answer),
    };
    match (stage, fate) {
        // The sender is the mailbox itself, whoever the recipient is.
        (Stage::Sender, Fate::Bounced | Fate::Policy { .. }) => Fate::Policy { blames_mailbox: true },
        (_, fate) => fate,
    }
}

/// RFC 3463, and what Google and Microsoft have added to it.
fn by_enhanced(stage: Stage, enhanced: Enhanced) -> Fate {
    let policy = Fate::Policy { blames_mailbox: enhanced.blames_mailbox() };
    match (enhanced.subject, enhanced.detail) {
        // Addresses. The sender's: its syntax, its system; Exchange's daily limit.
        (1, 90) => Fate::NotNow,
        (1, 7 | 8) => policy,
        (1, 0) if stage != Stage::Recipient => policy,
        (1, _) => Fate::Bounced,
        // Mailboxes. A letter too long for it; Exchange's limits per hour, and a sender that may not send as it does.
        (2, 3) => Fate::Unfit,
        (2, 121 | 122) => Fate::NotNow,
        (2, 0..100) => Fate::Bounced,
        // Systems: a message too big.
        (3, 4) => Fate::Unfit,
        // Routes: no host, no way, Exchange's "access denied" for who is not there, and its failures of DNS. A congestion, as which
        // Gmail refuses what is over the day's limit, passes.
        (4, 1 | 4 | 310 | 312) => Fate::Bounced,
        (4, 5) => Fate::NotNow,
        // Protocol: for Outlook.com "mailbox unavailable", for everybody else a command that it does not take.
        (5, 0) if stage == Stage::Recipient => Fate::Bounced,
        (5 | 6, _) => Fate::Unfit,
        _ => policy,
    }
}

/// Without an enhanced code, by the server's words, and then by the reply code alone.
fn by_reply(stage: Stage, answer: &Answer) -> Fate {
    const POLICY: [&str; 14] = [
        "spam",
        "block",
        "blacklist",
        "denylist",
        "policy",
        "reputation",
        "relay",
        "spf",
        "dkim",
        "dmarc",
        "rbl",
        "dnsbl",
        "reverse dns",
        "access denied",
    ];
    const NOBODY: [&str; 12] = [
        "user unknown",
        "unknown user",
        "no such",
        "not found",
        "does not exist",
        "doesn't have",
        "no mailbox",
        "invalid recipient",
        "recipient unknown",
        "mailbox unavailable",
        "unrouteable",
        "disabled",
    ];
    let words = answer.text.to_lowercase();
    let says = |list: &[&str]| list.iter().any(|word| words.contains(word));
    match answer.code {
        _ if says(&POLICY) => Fate::Policy { blames_mailbox: false },
        550..=554 if says(&NOBODY) => Fate::Bounced,
        550 | 551 | 553 if stage == Stage::Recipient => Fate::Bounced,
        500..=504 | 552 | 555 => Fate::Unfit,
        _ => Fate::Policy { blames_mailbox: false },
    }
}

/// The id that the server has given the e-mail, where its answer to the final dot names one: a Message-ID of its own, or the name of
/// the e-mail in its queue.
fn server_id(words: &str) -> Option<String> {
    let list: Vec<&str> = words.split_whitespace().collect();
    let after = |name: &str| {
        list.iter().position(|word| word.eq_ignore_ascii_case(name)).and_then(|at| list.get(at + 1)).copied()
    };
    let bracketed =
        list.iter().find_map(|word| word.strip_prefix('<')?.strip_suffix('>')).filter(|id| id.contains('@'));
    let assigned = list.iter().find_map(|word| word.strip_prefix("id="));
    // Sendmail: the id, then "Message accepted for delivery"; SES and Gmail: Ok, then the id, before which Gmail has the time.
    let sendmail = list.get(1).filter(|word| **word == "Message").and(list.first()).copied();
    let bare = after("ok").and_then(|first| {
        let is_time = |word: &str| word.len() == 10 && word.bytes().all(|b| b.is_ascii_digit());
        if is_time(first) { list.iter().skip_while(|word| **word != first).nth(1).copied() } else { Some(first) }
    });
    let is_id = |id: &str| id.len() >= 8 && id.bytes().any(|b| b.is_ascii_digit());
    let queued = after("as").filter(|_| words.to_lowercase().contains("queued as"));
    let id = bracketed.or(queued).or(assigned).or(sendmail.filter(|id| is_id(id))).or(bare.filter(|id| is_id(id)))?;
    let id = id.trim_matches(|c: char| matches!(c, '<' | '>' | '(' | ')' | ',' | ';' | '.'));
    (!id.is_empty()).then(|| text::cut(id, MAX_SERVER_ID).to_owned())
}

// === impl Enhanced ===

impl Enhanced {
    /// Whether it tells of what the mailbox, its domain or its network lacks, whoever the recipient is: no PTR, SPF, DKIM or DMARC
    /// (.25 to .27, .30, .32, .40), Outlook.com's demands (.515), banned addresses and limits at Microsoft (.606, .705, .708).
    pub fn blames_mailbox(self) -> bool {
        self.class == 5 && self.subject == 7 && matches!(self.detail, 25..=27 | 30 | 32 | 40 | 515 | 606 | 705 | 708)
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Why a text is no enhanced status code.
#[derive(Debug, thiserror::Error)]
#[error("an enhanced status code is such as 5.7.1")]
pub struct NotEnhanced;

impl FromStr for Enhanced {
    type Err = NotEnhanced;

    fn from_str(text: &str) -> Result<Self, NotEnhanced> {
        let part =
            |part: &str| part.parse::<u16>().ok().filter(|n| *n < 1_000 && part.bytes().all(|b| b.is_ascii_digit()));
        let mut parts = text.split('.').map(part);
        match [parts.next(), parts.next(), parts.next(), parts.next()] {
            [Some(Some(class @ (2 | 4 | 5))), Some(Some(subject)), Some(Some(detail)), None] => {
                Ok(Self { class: u8::try_from(class).map_err(|_| NotEnhanced)?, subject, detail })
            }
            _ => Err(NotEnhanced),
        }
    }
}

impl From<Enhanced> for String {
    fn from(enhanced: Enhanced) -> Self {
        enhanced.to_string()
    }
}

impl TryFrom<String> for Enhanced {
    type Error = NotEnhanced;

    fn try_from(text: String) -> Result<Self, NotEnhanced> {
        text.parse()
    }
}

// === impl Answer ===

impl Answer {
    /// An answer as its lines give it, without their reply code. The enhanced code of the first one counts, if it is of the class of
    /// the reply (RFC 2034, 4); the others only repeat it.
    pub fn new(code: u16, lines: &[impl AsRef<str>]) -> Self {
        let split = |line: &str| -> Option<(Enhanced, String)> {
            let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
            // "550-5.1.1" of Gmail, "550 #5.1.0" of Cisco.
            let enhanced: Enhanced = first.trim_start_matches('#').parse().ok()?;
            (u16::from(enhanced.class) == code / 100).then(|| (enhanced, rest.to_owned()))
        };
        let enhanced = lines.first().and_then(|line| split(line.as_ref().trim())).map(|(enhanced, _)| enhanced);
        let words = lines.iter().map(|line| {
            let line = line.as_ref().trim();
            split(line).map_or_else(|| line.to_owned(), |(_, rest)| rest)
        });
        let words = words.collect::<Vec<_>>().join(" ");
        let words = text::tame(&words).split_whitespace().collect::<Vec<_>>().join(" ");
        Self { code, enhanced, text: text::cut(&words, MAX_WORDS).to_owned() }
    }
}

/// As the server has written it, on one line.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enhanced = self.enhanced.map(|enhanced| format!("{enhanced} ")).unwrap_or_default();
        write!(f, "{} {enhanced}{}", self.code, self.text)
    }
}

// === impl Transcript ===

impl Transcript {
    /// Notes what was answered.
    pub fn answered(&mut self, stage: Stage, answer: &Answer, millis: u64) {
        let words = answer.text.clone();
        self.add(Line { stage, code: Some(answer.code), enhanced: answer.enhanced, millis, words });
    }

    /// Notes what Herald has to say of a stage without an answer.
    pub fn noted(&mut self, stage: Stage, words: &str, millis: u64) {
        let words = text::cut(&text::tame(words), MAX_WORDS).to_owned();
        self.add(Line { stage, code: None, enhanced: None, millis, words });
    }

    /// The last thing that was said, as a note for the e-mail.
    pub fn last_words(&self) -> Option<String> {
        self.last().map(ToString::to_string)
    }

    /// The last that was said about the e-mail: what is reset after a refusal is none of it.
    pub fn last(&self) -> Option<&Line> {
        self.lines.iter().rfind(|line| line.stage != Stage::Reset)
    }

    fn add(&mut self, line: Line) {
        if self.lines.len() < MAX_LINES {
            self.lines.push(line);
        }
    }
}

/// `recipient: 550 5.1.1 no such user`.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.stage.as_str())?;
        let codes = [self.code.map(|code| code.to_string()), self.enhanced.map(|enhanced| enhanced.to_string())];
        codes.into_iter().flatten().chain([self.words.clone()]).try_for_each(|part| write!(f, " {part}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer as a server writes it, its lines split by `|`.
    fn answer(text: &str) -> Answer {
        let code = text[..3].parse().expect("a code");
        let lines: Vec<_> = text.split('|').map(|line| line.get(4..).unwrap_or_default()).collect();
        Answer::new(code, &lines)
    }

    const BLAMED: Fate = Fate::Policy { blames_mailbox: true };
    const POLICY: Fate = Fate::Policy { blames_mailbox: false };

    #[test]
    fn real_servers_answers_have_the_right_fate() {
        use Fate::{Bounced, NotNow, SignInRefused, Unfit};
        use Stage::{Content, Data, Greeting, Hello, Recipient, Sender, SignIn};
        for (stage, text, right) in [
            // Gmail and Workspace.
            (
                Recipient,
                "550-5.1.1 The email account that you tried to reach does not exist. Please try|550-5.1.1 double-checking the recipient's email address for typos or|550 5.1.1 unnecessary spaces. For more information, go to https://support.google.com/mail/?p=NoSuchUser a1-20020si - gsmtp",
                Bounced,
            ),
            (
                Recipient,
                "550-5.2.1 The email account that you tried to reach is inactive.|550 5.2.1 https://support.google.com/mail/?p=DisabledUser - gsmtp",
                Bounced,
            ),
            (
                Recipient,
                "552-5.2.2 The recipient's inbox is out of storage space and inactive.|552 5.2.2 https://support.google.com/mail/?p=OverQuotaPerm - gsmtp",
                Bounced,
            ),
            (
                Recipient,
                "452-4.2.2 The recipient's inbox is out of storage space.|452 4.2.2 https://support.google.com/mail/?p=OverQuotaTemp - gsmtp",
                NotNow,
            ),
            (
                Recipient,
                "450-4.2.1 The user you are trying to contact is receiving mail at a rate that|450 4.2.1 prevents additional messages from being delivered. - gsmtp",
                NotNow,
            ),
            (
                Content,
                "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address.|421 4.7.28 To protect our users - gsmtp",
                NotNow,
            ),
            (
                Content,
                "550-5.7.26 Your email has been blocked because the sender is unauthenticated.|550 5.7.26 Gmail requires all senders to authenticate with either SPF or DKIM. - gsmtp",
                BLAMED,
            ),
            (
                Content,
                "550-5.7.25 The IP address sending this message does not have a PTR record setup - gsmtp",
                BLAMED,
            ),
            (Content, "550-5.7.27 SPF check did not pass - gsmtp", BLAMED),
            (Content, "550 5.7.30 DKIM check did not pass - gsmtp", BLAMED),
            (Content, "550 5.7.32 the From: header isn't aligned with either - gsmtp", BLAMED),
            (Content, "550 5.7.40 no DMARC record - gsmtp", BLAMED),
            (
                Content,
                "550-5.7.1 [203.0.113.9 12] Our system has detected that this message is likely unsolicited mail. - gsmtp",
                POLICY,
            ),
            (
                Content,
                "552-5.7.0 This message was blocked because its content presents a potential security issue. - gsmtp",
                POLICY,
            ),
            (
                Recipient,
                "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to|550 5.4.5 https://support.google.com/a/answer/166852 - gsmtp",
                NotNow,
            ),
            (Data, "552-5.3.4 Your message exceeded Google's message size limits. - gsmtp", Unfit),
            (
                SignIn,
                "535-5.7.8 Username and Password not accepted. For more information, go to|535 5.7.8  https://support.google.com/mail/?p=BadCredentials - gsmtp",
                SignInRefused,
            ),
            (SignIn, "534-5.7.9 Application-specific password required. - gsmtp", SignInRefused),
            (SignIn, "454 4.7.0 Too many login attempts, please try again later. - gsmtp", NotNow),
            (
                Sender,
                "530-5.7.0 Authentication Required. For more information, go to|530 5.7.0  https://support.google.com/mail/?p=WantAuthError - gsmtp",
                SignInRefused,
            ),
            (Sender, "530 5.7.0 Must issue a STARTTLS command first. - gsmtp", SignInRefused),
            (Greeting, "421-4.7.0 IP not in whitelist for RCPT domain, closing connection. - gsmtp", NotNow),
            (Content, "555 5.5.2 Syntax error, goodbye. - gsmtp", Unfit),
            // Outlook.com.
            (
                Recipient,
                "550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [BL2NAM02FT001.eop-nam02.prod.protection.outlook.com]",
                Bounced,
            ),
            (
                Content,
                "550 5.7.515 Access denied, sending domain EXAMPLE.COM does not meet the required authentication level.",
                BLAMED,
            ),
            (
                Sender,
                "550 5.7.1 Unfortunately, messages from [203.0.113.9] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).",
                BLAMED,
            ),
            (
                Recipient,
                "550 SC-001 (COL004-MC1F1) Unfortunately, messages from 203.0.113.9 weren't sent; part of their network is on our block list.",
                POLICY,
            ),
            (
                Content,
                "451 4.7.650 The mail server [203.0.113.9] has been temporarily rate limited due to IP reputation.",
                NotNow,
            ),
            // Exchange Online.
            (
                Recipient,
                "550 5.4.1 Recipient address rejected: Access denied. [DB5EUR03FT012.eop-EUR03.prod.protection.outlook.com]",
                Bounced,
            ),
            (
                Recipient,
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient kim@acme.example not found by SMTP address lookup",
                Bounced,
            ),
            (Recipient, "554 5.4.310 DNS domain acme.example does not exist [Message=InfoDomainNonexistent]", Bounced),
            (Recipient, "451 4.7.500 Server busy. Please try again later from [203.0.113.9]. (S77719)", NotNow),
            (
                Content,
                "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending.",
                NotNow,
            ),
            (
                Content,
                "550 5.7.705 Access denied, tenant has exceeded threshold. Please use our reporting page.",
                BLAMED,
            ),
            (Content, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", BLAMED),
            (
                Sender,
                "550 5.7.606 Access denied, banned sending IP [203.0.113.9]. To request removal from this list",
                BLAMED,
            ),
            (Greeting, "550 5.7.606 Access denied, banned sending IP [203.0.113.9].", BLAMED),
            (Content, "554 5.2.252 SendAsDenied; anna@example.com not allowed to send as sales@example.com", POLICY),
            (Content, "550 5.1.8 Access denied, bad outbound sender AS(42003)", POLICY),
            (
                Content,
                "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
                NotNow,
            ),
            (
                Recipient,
                "550 5.7.129 RESOLVER.RST.RestrictedToRecipientsPermission; not authorized to send to recipient",
                POLICY,
            ),
            (SignIn, "550 5.7.30 Basic authentication is not supported for Client Submission.", SignInRefused),
            (
                SignIn,
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                SignInRefused,
            ),
            (Sender, "530 5.7.57 Client not authenticated to send mail.", SignInRefused),
            (SignIn, "432 4.7.1 Temporary authentication failure", NotNow),
            // Yahoo.
            (
                Content,
                "554 delivery error: dd This user doesn't have a yahoo.com account (kim@yahoo.com) [0] - mta4003.mail.gq1.yahoo.com",
                Bounced,
            ),
            (Content, "552 1 Requested mail action aborted, mailbox not found", Bounced),
            (
                Content,
                "554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
                POLICY,
            ),
            (
                Recipient,
                "421 4.7.0 [TSS04] Messages from 203.0.113.9 temporarily deferred due to unexpected volume or user complaints",
                NotNow,
            ),
            (
                Greeting,
                "553 5.7.1 [BL21] Connections will not be accepted from 203.0.113.9, because the ip is in Spamhaus's list",
                SignInRefused,
            ),
            // Postfix.
            (
                Recipient,
                "550 5.1.1 <kim@acme.example>: Recipient address rejected: User unknown in virtual mailbox table",
                Bounced,
            ),
            (Recipient, "554 5.7.1 <kim@acme.example>: Relay access denied", POLICY),
            (
                Recipient,
                "450 4.2.0 <kim@acme.example>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/acme.example.html",
                NotNow,
            ),
            (Sender, "553 5.7.1 <anna@example.com>: Sender address rejected: not owned by user bob", BLAMED),
            (Sender, "552 5.3.4 Message size exceeds fixed limit", Unfit),
            (Sender, "501 5.5.4 Unsupported option: BODY=8BITMIME", Unfit),
            (Sender, "452 4.3.1 Insufficient system storage", NotNow),
            (Recipient, "501 5.1.3 Bad recipient address syntax", Bounced),
            (Content, "550 5.7.1 Spam message rejected", POLICY),
            (Content, "451 4.3.0 Error: queue file write error", NotNow),
            (Hello, "504 5.5.2 <a b>: Helo command rejected: need fully-qualified hostname", SignInRefused),
            (
                Greeting,
                "521 5.7.1 Service unavailable; client [203.0.113.9] blocked using zen.spamhaus.org",
                SignInRefused,
            ),
            (Greeting, "554 mx.example.com No SMTP service here", SignInRefused),
            (Greeting, "421 mx.example.com Service not available, try later", NotNow),
            (SignIn, "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6", SignInRefused),
            // Others, and what gives no enhanced code.
            (Recipient, "550 User not found: kim@163.com", Bounced),
            (Recipient, "550 unrouteable address", Bounced),
            (Recipient, "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", Bounced),
            (Recipient, "550 Rejected by policy: your host is in dnsbl.example", POLICY),
            (Recipient, "554 Denied", POLICY),
            (Recipient, "550 #5.1.0 Address rejected.", Bounced),
            (Content, "550 Message refused", POLICY),
            (Content, "552 Message size exceeds maximum permitted", Unfit),
            (Content, "554 Transaction failed", POLICY),
            (Recipient, "550", Bounced),
        ] {
            assert_eq!(fate(stage, &answer(text)), right, "{stage:?} {text}");
        }
    }

    #[test]
    fn an_answer_that_none_may_give_is_unclear_after_the_dot_alone() {
        for text in ["354 go on", "100 what"] {
            assert_eq!(fate(Stage::Content, &answer(text)), Fate::Unclear);
            assert_eq!(fate(Stage::Data, &answer(text)), Fate::NotNow);
        }
        assert_eq!(fate(Stage::Data, &answer("250 ok")), Fate::NotNow);
    }

    #[test]
    fn a_server_that_names_its_id_is_quoted() {
        for (text, id) in [
            ("250 2.0.0 Ok: queued as 4Sx1yT2Fz1zB", Some("4Sx1yT2Fz1zB")),
            ("250 2.0.0 OK  1732700000 a640c23a62f3a-aa5.42 - gsmtp", Some("a640c23a62f3a-aa5.42")),
            (
                "250 2.6.0 <AM0PR0A1@eurprd.prod.outlook.com> [InternalId=123, Hostname=AM0] 8 bytes in 0.1, Queued mail for delivery",
                Some("AM0PR0A1@eurprd.prod.outlook.com"),
            ),
            ("250 Ok 010001932f3c5c0a-8a1b2c3d-0000", Some("010001932f3c5c0a-8a1b2c3d-0000")),
            ("250 OK id=1rABCD-0001xy-2Z", Some("1rABCD-0001xy-2Z")),
            ("250 2.0.0 3ARB1xyz012345 Message accepted for delivery", Some("3ARB1xyz012345")),
            ("250 2.0.0 ok dirdel", None),
            ("250 OK", None),
            ("250", None),
        ] {
            let Fate::Taken { server_id } = fate(Stage::Content, &answer(text)) else { panic!("{text}") };
            assert_eq!(server_id.as_deref(), id, "{text}");
        }
        let long = format!("250 queued as {}1", "a".repeat(1_000));
        let Fate::Taken { server_id: Some(id) } = fate(Stage::Content, &answer(&long)) else { panic!("taken") };
        assert!(id.len() <= MAX_SERVER_ID);
    }

    #[test]
    fn what_comes_back_means_what_the_recipients_server_would_have_answered() {
        let code = |text: &str| text.parse::<Enhanced>().ok();
        for (permanent, status, diagnostic, right) in [
            (true, "5.1.1", "", Fate::Bounced),
            (true, "5.1.0", "", Fate::Bounced),
            (true, "5.5.0", "550 mailbox unavailable", Fate::Bounced),
            // The status tells more than words, and more than a class.
            (true, "5.1.1", "blocked by policy", Fate::Bounced),
            (true, "5.7.1", "no such user", POLICY),
            (true, "5.7.26", "", BLAMED),
            (true, "5.3.4", "", Fate::Unfit),
            (true, "5.2.122", "", Fate::NotNow),
            (true, "5.0.0", "no such user", POLICY),
            (true, "", "", Fate::Bounced),
            (true, "", "smtp; 550 user unknown", Fate::Bounced),
            (true, "", "smtp; 554 rejected as spam", POLICY),
            (false, "", "no such user", Fate::NotNow),
            (false, "4.2.2", "", Fate::NotNow),
        ] {
            assert_eq!(returned(permanent, code(status), diagnostic), right, "{permanent} {status} {diagnostic}");
        }
    }

    #[test]
    fn an_answer_is_tamed_and_bounded_and_a_transcript_too() {
        let answer = Answer::new(550, &["5.1.1 a\u{1b}[31m\tb\0", "5.1.1 \u{202e}c", "4.2.2 d"]);
        assert_eq!(answer.to_string(), "550 5.1.1 a [31m b \u{202e}c 4.2.2 d\u{202c}");
        assert_eq!(Answer::new(550, &["4.1.1 of another class"]).enhanced, None);
        assert!(Answer::new(550, &["x".repeat(10_000)]).text.len() == MAX_WORDS);
        let mut transcript = Transcript::default();
        (0..1_000).for_each(|_| transcript.answered(Stage::Recipient, &answer, 3));
        assert_eq!(transcript.lines.len(), MAX_LINES);
        let json = serde_json::to_string(&transcript).expect("JSON");
        assert_eq!(serde_json::from_str::<Transcript>(&json).expect("the same"), transcript);
        assert!(json.starts_with(r#"[{"stage":"recipient","code":550,"enhanced":"5.1.1","millis":3,"#), "{json}");
        transcript.lines.truncate(1);
        assert!(transcript.last_words().expect("a line").starts_with("recipient: 550 5.1.1 a"));
    }

    #[test]
    fn only_an_enhanced_status_code_is_one() {
        for bad in ["", "5", "5.1", "5.1.1.1", "3.1.1", "5.+1.1", "5.1000.1", "5..1", "a.b.c", "5.1.99999999999"] {
            assert!(bad.parse::<Enhanced>().is_err(), "{bad}");
        }
        assert_eq!("5.7.515".parse::<Enhanced>().expect("one").to_string(), "5.7.515");
    }
}
