//! Letters to a mail server that does as it is told, on aiosmtpd: every way in which a talk can end, and what was taken then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use herald::connect::Guard;
use herald::connect::smtp::{Account, Connections, Deadlines, Delivered, Lease, Letter, Security, Settings, SignIn};
use herald::domain::delivery::{Fate, Stage, Transcript};
use serde_json::json;

use crate::support::smtp::{Rule, SmtpPeer};

const FROM: &str = "anna@example.com";
const TO: &str = "kim@acme.example";
const PASSWORD: &str = "correct horse battery staple";
/// Later than every deadline here.
const LATE: Duration = Duration::from_secs(5);

/// Says yes so often, then no; a while later.
struct Yes {
    times: AtomicU32,
    after: Duration,
}

// === impl Yes ===

impl Yes {
    fn always() -> Self {
        Self::times(u32::MAX)
    }

    fn times(times: u32) -> Self {
        Self { times: AtomicU32::new(times), after: Duration::ZERO }
    }
}

#[async_trait]
impl Lease for Yes {
    async fn holds(&self) -> bool {
        tokio::time::sleep(self.after).await;
        self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

fn settings(peer: &SmtpPeer) -> Settings {
    let [connect, answer, content, end, quit] = [4_000, 1_500, 1_500, 1_500, 500].map(Duration::from_millis);
    Settings {
        guard: Guard { private: true, ..Guard::default() },
        authorities: Some(peer.authorities()),
        deadlines: Deadlines { connect, answer, content, end, quit },
        token_time: Duration::from_millis(1_500),
        ..Settings::default()
    }
}

fn connections(peer: &SmtpPeer) -> Connections {
    Connections::new(settings(peer)).expect("connections")
}

fn content(id: &str) -> Vec<u8> {
    format!("Message-ID: <{id}@example.com>\r\nSubject: Hello\r\n\r\nHello,\r\n.\r\n..two dots\r\nbye\r\n").into_bytes()
}

async fn send(connections: &Connections, account: &Account, id: &str) -> Delivered {
    let content = content(id);
    let letter = Letter { from: FROM, to: TO, content: &content };
    connections.deliver("anna", account, &letter, &Yes::always()).await
}

fn taken(peer: &SmtpPeer, id: &str) -> usize {
    peer.taken().iter().filter(|taken| taken.message_id == format!("{id}@example.com")).count()
}

fn stages(transcript: &Transcript) -> Vec<Stage> {
    transcript.lines.iter().map(|line| line.stage).collect()
}

fn is_taken(delivered: &Delivered) -> bool {
    matches!(delivered.fate, Fate::Taken { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_taken_as_it_is_over_each_security_and_by_each_sign_in() {
    use Stage::{Connect, Content, Data, Greeting, Hello, Recipient, Sender, SignIn, Tls};
    let peer = SmtpPeer::start();
    let mut sent = 0;
    for security in [Security::None, Security::Starttls, Security::Tls] {
        for (offers, mechanism, account) in [
            (json!([]), None, peer.account(security)),
            (json!(["LOGIN", "PLAIN"]), Some("PLAIN"), peer.with_password(security, "anna", PASSWORD)),
            (json!(["LOGIN"]), Some("LOGIN"), peer.with_password(security, "anna", PASSWORD)),
            (json!(["PLAIN", "XOAUTH2"]), Some("XOAUTH2"), peer.with_tokens(security, "anna")),
        ] {
            let required = mechanism.is_some();
            peer.settings(json!({ "offers": offers, "users": { "anna": PASSWORD }, "required": required }));
            // Every answer byte by byte, in the second round.
            let slow = security == Security::Starttls;
            let everywhere = Stage::ALL.into_iter().filter(|_| slow).map(|stage| Rule::at(stage).in_pieces());
            peer.rules(everywhere);
            let connections = connections(&peer);
            sent += 1;
            let id = format!("letter-{sent}");
            let delivered = send(&connections, &account, &id).await;
            let context = format!("{security:?} {mechanism:?}: {:?}", delivered.transcript);
            assert_eq!(delivered.fate, Fate::Taken { server_id: Some(format!("Q{sent:09}")) }, "{context}");
            let last = peer.taken().pop().expect("a letter");
            assert_eq!(last.raw.as_bytes(), content(&id), "{context}");
            assert_eq!((last.from.as_str(), last.to), (FROM, vec![TO.to_owned()]));
            assert_eq!((last.mechanism.as_deref(), last.user.as_deref()), (mechanism, mechanism.map(|_| "anna")));
            assert_eq!((last.tls, last.hello.as_str()), (security != Security::None, "herald.test"), "{context}");
            assert!(last.options.iter().all(|option| option.starts_with("SIZE")), "{:?}", last.options);
            let mut expected = match security {
                Security::None => vec![Connect, Greeting, Hello],
                Security::Starttls => vec![Connect, Greeting, Hello, Tls, Tls, Hello],
                Security::Tls => vec![Connect, Tls, Greeting, Hello],
            };
            // A question and two parts; or the token at once.
            expected.extend(vec![SignIn; [0, 1, 3][usize::from(required) + usize::from(mechanism == Some("LOGIN"))]]);
            expected.extend([Sender, Recipient, Data, Content]);
            assert_eq!(stages(&delivered.transcript), expected, "{context}");
            let line = delivered.transcript.lines.last().expect("a line");
            assert_eq!((line.code, line.enhanced.map(|e| e.to_string()).as_deref()), (Some(250), Some("2.0.0")));
            assert!(!context.contains("two dots") && !context.contains("access-token") && !context.contains(PASSWORD));
        }
    }
    assert_eq!(peer.taken().len(), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_has_its_fate_and_the_next_letter_follows_over_the_same_connection() {
    use Fate::{Bounced, NotNow, SignInRefused, Unfit};
    const BLAMED: Fate = Fate::Policy { blames_mailbox: true };
    const POLICY: Fate = Fate::Policy { blames_mailbox: false };
    let peer = SmtpPeer::start();
    peer.settings(json!({ "users": { "anna": PASSWORD }, "required": true }));
    let account = peer.with_password(Security::Starttls, "anna", PASSWORD);
    let mut cases = 0;
    for (stage, answer, right) in [
        (Stage::Greeting, "421 4.3.2 too many connections", NotNow),
        (Stage::Greeting, "554 5.7.1 no service for you", SignInRefused),
        (Stage::Greeting, "550 5.7.606 banned", BLAMED),
        (Stage::Hello, "450 4.7.1 later", NotNow),
        (Stage::Hello, "504 5.5.2 need a name", SignInRefused),
        (Stage::Tls, "454 4.7.0 TLS not available", NotNow),
        (Stage::Tls, "502 5.5.1 no", SignInRefused),
        (Stage::SignIn, "454 4.7.0 too many logins", NotNow),
        (Stage::SignIn, "535 5.7.8 wrong password", SignInRefused),
        (Stage::SignIn, "534-5.7.9 an app password,|534 5.7.9 please", SignInRefused),
        (Stage::Sender, "452 4.3.1 no space", NotNow),
        (Stage::Sender, "530 5.7.0 Authentication required", SignInRefused),
        (Stage::Sender, "553 5.7.1 not your address", BLAMED),
        (Stage::Sender, "501 5.5.4 syntax", Unfit),
        (Stage::Recipient, "450 4.2.0 greylisted", NotNow),
        (Stage::Recipient, "450 4.2.1 too busy", NotNow),
        (Stage::Recipient, "452 4.2.2 full", NotNow),
        (Stage::Recipient, "550-5.1.1 nobody|550 5.1.1 here", Bounced),
        (Stage::Recipient, "550 5.4.1 access denied", Bounced),
        (Stage::Recipient, "550 no such user", Bounced),
        (Stage::Recipient, "550 5.7.1 relay access denied", POLICY),
        (Stage::Data, "451 4.7.500 busy", NotNow),
        (Stage::Data, "554 5.7.1 no", POLICY),
        (Stage::Content, "421-4.7.28 unusual|421 4.7.28 rate", NotNow),
        (Stage::Content, "451 4.3.0 queue", NotNow),
        (Stage::Content, "550 5.7.26 unauthenticated", BLAMED),
        (Stage::Content, "550 5.7.515 not the required level", BLAMED),
        (Stage::Content, "554 5.7.9 policy", POLICY),
        (Stage::Content, "552 5.3.4 too large", Unfit),
    ] {
        cases += 1;
        let connections = connections(&peer);
        // Before the sign-in there is no telling from how often a refusal comes: once.
        peer.rules([Rule::at(stage).answers(answer).times(1)]);
        let before = (peer.count("RSET"), peer.taken().len());
        let delivered = send(&connections, &account, &format!("refused-{cases}")).await;
        let context = format!("{answer}: {:?}", delivered.transcript);
        assert_eq!(delivered.fate, right, "{context}");
        assert_eq!(peer.taken().len(), before.1, "{context}");
        let said = delivered.transcript.lines.iter().find(|line| line.code.is_some_and(|code| code >= 400));
        let said = said.unwrap_or_else(|| panic!("{context}"));
        assert_eq!((said.stage, said.code), (stage, answer[..3].parse().ok()), "{context}");
        let is_open = matches!(stage, Stage::Sender | Stage::Recipient | Stage::Data | Stage::Content)
            && !answer.starts_with("421");
        assert_eq!(peer.count("RSET") - before.0, usize::from(is_open), "{context}");
        let logins = peer.count("AUTH");
        let next = send(&connections, &account, &format!("next-{cases}")).await;
        assert!(is_taken(&next), "{context}: {:?}", next.transcript);
        assert_eq!(peer.count("AUTH") == logins, is_open, "{context}");
        assert_eq!(taken(&peer, &format!("next-{cases}")), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_before_the_dot_was_not_taken_and_after_it_nobody_knows() {
    let peer = SmtpPeer::start();
    let account = peer.account(Security::Tls);
    let before = [Stage::Greeting, Stage::Hello, Stage::Sender, Stage::Recipient, Stage::Data];
    let drops = before.map(|stage| (Rule::at(stage).drops(), stage, Fate::NotNow, 0));
    let late = before.map(|stage| (Rule::at(stage).late(LATE), stage, Fate::NotNow, 0));
    let content = || Rule::at(Stage::Content);
    let after = [
        // The letter is on its way when the connection drops.
        (Rule::at(Stage::Data).answers("354 go on").drops(), Stage::Content, Fate::NotNow, 0),
        (content().drops(), Stage::Content, Fate::Unclear, 0),
        (content().taken().drops(), Stage::Content, Fate::Unclear, 1),
        (content().taken().late(LATE), Stage::Content, Fate::Unclear, 1),
        (content().answers("250").taken().closes(), Stage::Content, Fate::Taken { server_id: None }, 1),
        (content().answers("nonsense").taken(), Stage::Content, Fate::Unclear, 1),
        (content().answers("354 what?").taken(), Stage::Content, Fate::Unclear, 1),
    ];
    for (n, (rule, stage, right, count)) in drops.into_iter().chain(late).chain(after).enumerate() {
        let connections = connections(&peer);
        let id = format!("lost-{n}");
        peer.rules([rule]);
        let text = self::content(&id);
        let letter = Letter { from: FROM, to: TO, content: &text };
        // Time for the drop to be seen.
        let lease = Yes { after: Duration::from_millis(100), ..Yes::always() };
        let began = Instant::now();
        let delivered = connections.deliver("anna", &account, &letter, &lease).await;
        assert!(began.elapsed() < LATE, "case {n}");
        let context = format!("case {n}: {:?}", delivered.transcript);
        assert_eq!(delivered.fate, right, "{context}");
        let last = delivered.transcript.lines.iter().rfind(|line| line.stage != Stage::Reset);
        assert_eq!(last.map(|line| line.stage), Some(stage), "{context}");
        // What comes late has come by then.
        if count > 0 {
            tokio::time::sleep(LATE.saturating_sub(began.elapsed())).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(taken(&peer, &id), count, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_carries_some_letters_and_is_opened_again_where_the_server_has_hung_up() {
    let peer = SmtpPeer::start();
    let account = peer.account(Security::Starttls);
    let bounded = Settings { letters_per_connection: 3, idle: Duration::from_secs(60), ..settings(&peer) };
    let connections = Connections::new(bounded).expect("connections");
    for n in 0..7 {
        assert!(is_taken(&send(&connections, &account, &format!("n-{n}")).await));
    }
    let used: Vec<_> = peer.taken().iter().map(|taken| taken.connection).collect();
    assert_eq!(used, [1, 1, 1, 2, 2, 2, 3]);
    eventually(|| peer.count("QUIT") == 2).await;
    let first: Vec<_> = peer.log().into_iter().filter(|came| came.connection == 1).map(|came| came.command).collect();
    let hello = ["EHLO herald.test", "STARTTLS", "EHLO herald.test"];
    assert!(first.starts_with(&hello.map(str::to_owned)) && first.ends_with(&["QUIT".to_owned()]), "{first:?}");
    // The third one is kept; each way to find it closed opens another, once.
    for (n, rule) in [
        Rule::at(Stage::Sender).answers("421 4.4.2 timeout").closes(),
        Rule::at(Stage::Sender).answers("421 4.4.2 timeout"),
        Rule::at(Stage::Sender).drops(),
    ]
    .into_iter()
    .enumerate()
    {
        peer.rules([rule.times(1)]);
        let id = format!("again-{n}");
        let delivered = send(&connections, &account, &id).await;
        assert!(is_taken(&delivered), "{:?}", delivered.transcript);
        assert_eq!(taken(&peer, &id), 1);
        let opened = stages(&delivered.transcript).iter().filter(|stage| **stage == Stage::Connect).count();
        assert_eq!(opened, 1, "{:?}", delivered.transcript);
    }
    // Not twice, and not once the recipient was named.
    peer.rules([Rule::at(Stage::Sender).answers("421 4.3.2 no").closes()]);
    assert_eq!(send(&connections, &account, "refused").await.fate, Fate::NotNow);
    peer.rules([]);
    assert!(is_taken(&send(&connections, &account, "fine").await));
    peer.rules([Rule::at(Stage::Recipient).answers("421 4.3.2 no").closes().skip(1).times(1)]);
    assert!(is_taken(&send(&connections, &account, "let pass").await));
    let delivered = send(&connections, &account, "later").await;
    assert_eq!((delivered.fate, stages(&delivered.transcript)), (Fate::NotNow, vec![Stage::Sender, Stage::Recipient]));
    // Other settings are another connection, and who leaves says so.
    assert!(is_taken(&send(&connections, &account, "one").await));
    let quits = peer.count("QUIT");
    assert!(is_taken(&send(&connections, &peer.account(Security::Tls), "two").await));
    eventually(|| peer.count("QUIT") == quits + 1).await;
    connections.close().await;
    assert_eq!(peer.count("QUIT"), quits + 2);
    assert!(peer.taken().last().is_some_and(|last| last.tls && last.message_id.starts_with("two")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_idles_is_closed() {
    let peer = SmtpPeer::start();
    let idle = Settings { idle: Duration::from_millis(300), ..settings(&peer) };
    let connections = Connections::new(idle).expect("connections");
    let account = peer.account(Security::Starttls);
    assert!(is_taken(&send(&connections, &account, "one").await));
    eventually(|| peer.count("QUIT") == 1).await;
    assert!(is_taken(&send(&connections, &account, "two").await));
    let used: Vec<_> = peer.taken().iter().map(|taken| taken.connection).collect();
    assert_eq!(used, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_has_one_connection_at_a_time_and_mailboxes_do_not_wait_for_each_other() {
    let peer = SmtpPeer::start();
    let connections = Arc::new(connections(&peer));
    let account = peer.account(Security::Starttls);
    peer.rules([Rule::at(Stage::Recipient).to("slow").late(Duration::from_millis(700))]);
    let sends = (0..6).map(|n| {
        let (connections, account) = (connections.clone(), account.clone());
        tokio::spawn(async move {
            let (mailbox, to) = if n < 2 { ("slow", "slow@acme.example") } else { ("quick", TO) };
            let text = content(&format!("n-{n}"));
            let began = Instant::now();
            let letter = Letter { from: FROM, to, content: &text };
            assert!(is_taken(&connections.deliver(mailbox, &account, &letter, &Yes::always()).await));
            (mailbox, began.elapsed())
        })
    });
    let mut slowest = Duration::ZERO;
    for done in futures_util::future::join_all(sends).await {
        let (mailbox, took) = done.expect("no panic");
        slowest = slowest.max(if mailbox == "slow" { took } else { Duration::ZERO });
    }
    assert!(slowest >= Duration::from_millis(1_400), "one after the other: {slowest:?}");
    let mut used: Vec<_> = peer.taken().iter().map(|taken| taken.connection).collect();
    assert_eq!(used.len(), 6);
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_lost_the_lease_sends_nothing() {
    let peer = SmtpPeer::start();
    let connections = connections(&peer);
    let account = peer.account(Security::Starttls);
    let text = content("lease");
    let letter = Letter { from: FROM, to: TO, content: &text };
    let first = connections.deliver("anna", &account, &letter, &Yes::times(0)).await;
    assert_eq!((first.fate, peer.count("DATA"), peer.count("RSET")), (Fate::Withdrawn, 0, 1));
    let second = connections.deliver("anna", &account, &letter, &Yes::times(1)).await;
    assert_eq!((second.fate, peer.count("DATA")), (Fate::Withdrawn, 1));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(taken(&peer, "lease"), 0);
    assert!(is_taken(&connections.deliver("anna", &account, &letter, &Yes::times(2)).await));
    let used = peer.taken();
    assert_eq!((used.len(), used[0].connection), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_out_in_plain_text_where_tls_is_asked_for() {
    let peer = SmtpPeer::start();
    peer.settings(json!({ "users": { "anna": PASSWORD } }));
    let account = |security| peer.with_password(security, "anna", PASSWORD);
    let trusting = settings(&peer);
    let strange = Settings { authorities: None, ..settings(&peer) };
    let plain = Account { security: Security::Starttls, ..account(Security::None) };
    let mismatch = Account { security: Security::Tls, ..account(Security::None) };
    let by_address = Account { host: "127.0.0.1".to_owned(), ..account(Security::Starttls) };
    let none: Option<&str> = None;
    for (settings, account, starttls, words) in [
        (&trusting, plain, none, "does not offer STARTTLS"),
        (&trusting, mismatch, none, "no TLS with the server"),
        (&trusting, account(Security::Starttls), Some("220 go on|250 mx.test"), "in plain text follows"),
        (&trusting, account(Security::Starttls), Some("220 go on"), "no TLS with the server"),
        (&trusting, by_address, none, "certificate"),
        (&strange, account(Security::Starttls), none, "certificate"),
        (&strange, account(Security::Tls), none, "certificate"),
    ] {
        peer.rules(starttls.map(|answer| Rule::at(Stage::Tls).answers(answer)));
        let connections = Connections::new(settings.clone()).expect("connections");
        let delivered = send(&connections, &account, "plain").await;
        assert_eq!(delivered.fate, Fate::SignInRefused, "{words}: {:?}", delivered.transcript);
        let last = delivered.transcript.lines.last().expect("a line");
        assert!(last.stage == Stage::Tls && last.words.contains(words), "{words}: {last}");
    }
    assert_eq!((peer.count("AUTH"), peer.count("MAIL"), peer.taken().len()), (0, 0, 0));
    peer.rules([Rule::at(Stage::Tls).drops()]);
    let dropped = send(&connections(&peer), &account(Security::Starttls), "plain").await;
    assert_eq!(dropped.fate, Fate::NotNow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_allowed_addresses_are_connected_to_and_plain_text_stays_on_the_machine() {
    let peer = SmtpPeer::start();
    let guarded = Settings { guard: Guard::default(), ..settings(&peer) };
    let guarded = Connections::new(guarded).expect("connections");
    let mut account = peer.account(Security::Starttls);
    for host in ["localhost", "127.0.0.1", "10.0.0.1", "169.254.169.254", "nobody.invalid"] {
        account.host = host.to_owned();
        let delivered = send(&guarded, &account, "inside").await;
        let words = &delivered.transcript.lines[0].words;
        assert_eq!((delivered.fate, delivered.transcript.lines.len()), (Fate::NotNow, 1));
        // Nobody learns from it which names there are.
        assert!(words.contains("leads to no address on the public internet"), "{words}");
    }
    let networks = vec!["127.0.0.0/8".parse().expect("a network")];
    let relay = Settings { guard: Guard { private: false, networks }, ..settings(&peer) };
    let relay = Connections::new(relay).expect("connections");
    assert!(is_taken(&send(&relay, &peer.account(Security::Starttls), "relay").await));
    let account = Account { host: "10.255.255.1".to_owned(), ..peer.account(Security::None) };
    let delivered = send(&connections(&peer), &account, "plain").await;
    assert!(delivered.transcript.lines[0].words.contains("plain text"), "{:?}", delivered.transcript);
    assert_eq!((delivered.fate, peer.taken().len()), (Fate::NotNow, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_the_server_cannot_take_fails_alone() {
    let peer = SmtpPeer::start();
    let connections = connections(&peer);
    let account = peer.account(Security::Starttls);
    peer.settings(json!({ "smtputf8": false, "size": 300 }));
    let long = [content("long"), vec![b'a'; 400]].concat();
    let eight = "Subject: a\r\n\r\ncaf\u{e9}\r\n".as_bytes();
    let answers = "Reply-To: k\u{e4}the@acme.example\r\nSubject: a\r\n\r\na\r\n".as_bytes();
    let bare = b"Subject: a\r\n\r\n.\nMAIL FROM:<x@y.example>\r\n";
    let seven = content("seven");
    for (to, text, words) in [
        ("käthe@acme.example", &seven[..], "SMTPUTF8"),
        (TO, answers, "SMTPUTF8"),
        (TO, &long, "larger than"),
        (TO, eight, "7-bit"),
        (TO, bare, "CRLF"),
        ("kim@acme.example> SIZE=1\r\nRSET", &seven, "no mail can be sent"),
    ] {
        let letter = Letter { from: FROM, to, content: text };
        let delivered = connections.deliver("anna", &account, &letter, &Yes::always()).await;
        assert_eq!(delivered.fate, Fate::Unfit, "{words}");
        let line = delivered.transcript.lines.iter().find(|line| line.stage == Stage::Sender).expect("a note");
        assert!(line.words.contains(words) && line.code.is_none(), "{line}");
    }
    assert_eq!((peer.count("MAIL"), peer.taken().len()), (0, 0));
    connections.close().await;
    peer.settings(json!({}));
    for (to, content, envelope, options) in [
        ("käthe@acme.example", &seven[..], "käthe@acme.example", vec!["SMTPUTF8"]),
        ("kim@bücher.example", &seven, "kim@xn--bcher-kva.example", vec![]),
        (TO, answers, TO, vec!["SMTPUTF8"]),
    ] {
        let letter = Letter { from: FROM, to, content };
        assert!(is_taken(&connections.deliver("anna", &account, &letter, &Yes::always()).await), "{to}");
        let last = peer.taken().pop().expect("a letter");
        assert_eq!(
            (last.to, last.options),
            (vec![envelope.to_owned()], options.into_iter().map(str::to_owned).collect())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_transcript_whatever_the_server_repeats() {
    let peer = SmtpPeer::start();
    // aiosmtpd's own base64 of what each sign-in sends.
    let plain = "AGFubmEAY29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==";
    let answer = format!("535 5.7.8 bad {plain} or {} ({PASSWORD})", &plain[..20]);
    peer.rules([Rule::at(Stage::SignIn).answers(&answer)]);
    let account = peer.with_password(Security::Starttls, "anna", PASSWORD);
    let delivered = send(&connections(&peer), &account, "secret").await;
    let last = delivered.transcript.lines.last().expect("a line");
    assert_eq!((delivered.fate, last.words.as_str()), (Fate::SignInRefused, "bad *** or *** (***)"));
    assert!(!format!("{account:?}").contains(PASSWORD));
    peer.rules([]);
    peer.settings(json!({ "offers": ["CRAM-MD5"] }));
    let delivered = send(&connections(&peer), &account, "secret").await;
    let last = delivered.transcript.lines.last().expect("a line");
    assert_eq!(delivered.fate, Fate::SignInRefused);
    assert_eq!(last.words, "the server does not offer PLAIN nor LOGIN, but CRAM-MD5");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_kept_got_anew_where_they_were_revoked_and_not_where_there_are_none() {
    let peer = SmtpPeer::start();
    peer.settings(json!({ "required": true, "rotates": true }));
    let account = peer.with_tokens(Security::Starttls, "anna");
    let connections = connections(&peer);
    let one_letter = || async {
        connections.close().await;
        send(&connections, &account, "token").await
    };
    // Kept, and the new refresh token told.
    for n in 0..3 {
        let delivered = if n < 2 { one_letter().await } else { send(&connections, &account, "token").await };
        assert!(is_taken(&delivered), "{:?}", delivered.transcript);
        assert_eq!(delivered.refresh_token.expect("another").expose(), "refresh-token-1");
    }
    let asked = peer.token_requests();
    assert_eq!((asked.len(), asked[0]["refresh_token"].as_str()), (1, "refresh-token-0"));
    assert_eq!((asked[0]["client_id"].as_str(), asked[0]["client_secret"].as_str()), ("client-id", "client-secret"));
    // Once that is stored, the token and the connection are still those of the mailbox.
    let stored = peer.with_refresh_token(&account, "refresh-token-1");
    let opened = peer.count("EHLO");
    for _ in 0..3 {
        let delivered = send(&connections, &stored, "token").await;
        assert!(is_taken(&delivered) && delivered.refresh_token.is_none(), "{:?}", delivered.transcript);
    }
    assert_eq!((peer.token_requests().len(), peer.count("EHLO")), (1, opened));
    // Revoked: one new one, got with the newest refresh token.
    peer.revoke();
    assert!(is_taken(&one_letter().await));
    let asked = peer.token_requests();
    assert_eq!((asked.len(), asked[1]["refresh_token"].as_str()), (2, "refresh-token-1"));
    // And no third where the server takes none.
    peer.rules([Rule::at(Stage::SignIn).answers("535 5.7.8 no")]);
    assert_eq!(one_letter().await.fate, Fate::SignInRefused);
    assert_eq!(peer.token_requests().len(), 3);
    // What a token server can do, each asked anew, for another mailbox.
    let expired =
        r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked: refresh-token-0"}"#;
    let away = Fate::NotNow;
    for (n, (rule, right, words)) in [
        (
            Rule::token_answer(400, expired),
            Fate::SignInRefused,
            "answers 400: invalid_grant Token has been expired or revoked: ***",
        ),
        (Rule::token_answer(401, r#"{"error":"invalid_client"}"#), Fate::SignInRefused, "answers 401: invalid_client"),
        (Rule::token_answer(400, r#"{"error":"temporarily_unavailable"}"#), away.clone(), "temporarily_unavailable"),
        (Rule::token_answer(503, "<html>busy"), away.clone(), "answers 503"),
        (Rule::token_answer(200, "{}"), away.clone(), "has no token"),
        (Rule::token_answer(200, r#"{"access_token":"a\r\nDATA"}"#), away.clone(), "has no token"),
        (Rule::token_bytes(1 << 20), away.clone(), "too long"),
        (Rule::at(Stage::Token).late(LATE), away.clone(), "cannot be asked"),
        (Rule::at(Stage::Token).drops(), away, "cannot be asked"),
    ]
    .into_iter()
    .enumerate()
    {
        peer.rules([rule]);
        let (refused, transcript) = connections.test(&format!("other-{n}"), &account).await;
        let last = transcript.lines.last().expect("a line");
        assert_eq!(refused, Err(right), "{last}");
        assert!(last.stage == Stage::Token && last.words.contains(words), "{last}");
    }
    // Addresses: as of a website, and secrets in plain text on this machine alone.
    peer.rules([]);
    for url in ["http://localhost/token", "http://10.0.0.1/token", "ftp://127.0.0.1/token", "https://169.254.169.254/"]
    {
        let mut account = account.clone();
        let SignIn::OAuth { oauth, .. } = &mut account.sign_in else { panic!("OAuth") };
        oauth.token_url = url.parse().expect("a URL");
        let (refused, transcript) = connections.test("elsewhere", &account).await;
        assert_eq!(refused, Err(Fate::SignInRefused), "{url}: {transcript:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_token_is_asked_for_at_a_time_and_again_once_it_is_old() {
    let peer = SmtpPeer::start();
    peer.rules([Rule::at(Stage::Token).late(Duration::from_millis(300))]);
    let connections = connections(&peer);
    let account = peer.with_tokens(Security::Starttls, "anna");
    let tests = futures_util::future::join_all((0..5).map(|_| connections.test("anna", &account))).await;
    assert!(tests.iter().all(|(signed_in, _)| signed_in.is_ok()), "{tests:?}");
    assert_eq!(peer.token_requests().len(), 1);
    // Two seconds less a margin of one.
    peer.settings(json!({ "expires_in": 2 }));
    for wait in [0, 1_100] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        assert_eq!(connections.test("bob", &account).await.0, Ok(()));
    }
    assert_eq!(peer.token_requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_is_tried_stage_by_stage_without_a_letter() {
    use Stage::{Connect, Greeting, Hello, SignIn, Tls};
    let peer = SmtpPeer::start();
    peer.settings(json!({ "users": { "anna": PASSWORD } }));
    let connections = connections(&peer);
    let account = peer.with_password(Security::Starttls, "anna", PASSWORD);
    let (signed_in, transcript) = connections.test("anna", &account).await;
    assert_eq!(signed_in, Ok(()));
    assert_eq!(stages(&transcript), [Connect, Greeting, Hello, Tls, Tls, Hello, SignIn]);
    let told: Vec<_> = transcript.lines.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("connect: connected to 127.0.0.1:"), "{told:?}");
    assert_eq!((told[1].as_str(), told[4].as_str()), ("greeting: 220 mx.test ESMTP", "tls: TLSv1.3"));
    assert_eq!(told[6], "sign_in: 235 2.7.0 Authentication successful");
    eventually(|| peer.count("QUIT") == 1).await;
    let wrong = peer.with_password(Security::Tls, "anna", "wrong");
    let (refused, transcript) = connections.test("anna", &wrong).await;
    assert_eq!(refused, Err(Fate::SignInRefused));
    assert_eq!(stages(&transcript), [Connect, Tls, Greeting, Hello, SignIn]);
    let nobody = Account { port: 1, ..account };
    let (refused, transcript) = connections.test("anna", &nobody).await;
    assert_eq!((refused, stages(&transcript)), (Err(Fate::NotNow), vec![Connect]));
    assert!(transcript.lines[0].words.contains("refused"), "{transcript:?}");
    assert_eq!((peer.count("MAIL"), peer.taken().len()), (0, 0));
}

async fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it does not come to hold");
}
