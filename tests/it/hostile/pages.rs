//! Websites that multiply: what is a few bytes on the wire and very much in a tree, or never comes to an end. Each is read by a
//! real campaign, which ends with words; meanwhile others' campaigns end and others' calls are answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use herald::pb::{self, CampaignState, StepStatus};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Target, released};
use crate::support::{Seeded, add_prospects, auto_approve, deep, newest, reaches, seeds, start_campaign};

/// How long the reading of any website may take, tries and all.
const READ_WITHIN: Duration = Duration::from_secs(30);
/// As much of a page as is read.
const PAGE: usize = 2 << 20;
/// The websites that are read at the same time.
const AT_ONCE: usize = 4;

/// How a path is answered.
enum Answer {
    Html(Vec<u8>),
    /// With this content-encoding.
    Encoded(&'static str, Vec<u8>),
    /// A byte of a chunked body now and then, for ever.
    Drip,
    /// To the same path with one more in it, for ever.
    Onward,
    /// Headers without end.
    Headers,
}

/// Websites by their first path segment.
type Sites = HashMap<String, Answer>;

/// Serves them from a thread of its own; the address, such as `http://127.0.0.1:1234/`.
async fn serve(sites: Sites) -> String {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
            let _ = tell.send(listener.local_addr().expect("an address"));
            let sites = Arc::new(sites);
            while let Ok((stream, _)) = listener.accept().await {
                let sites = sites.clone();
                tokio::spawn(async move { respond(stream, &sites).await });
            }
        });
    });
    format!("http://{}/", told.await.expect("it listens"))
}

async fn respond(mut stream: TcpStream, sites: &Sites) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let path = head.split_whitespace().nth(1)?.to_owned();
    let site = path.split('/').nth(1)?;
    const HEAD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/html\r\n";
    match sites.get(site) {
        Some(Answer::Html(body)) => {
            stream.write_all(format!("{HEAD}content-length: {}\r\n\r\n", body.len()).as_bytes()).await.ok()?;
            stream.write_all(body).await.ok()
        }
        Some(Answer::Encoded(encoding, body)) => {
            let head = format!("{HEAD}content-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).await.ok()?;
            stream.write_all(body).await.ok()
        }
        Some(Answer::Drip) => {
            stream.write_all(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.ok()?;
            loop {
                stream.write_all(b"1\r\nx\r\n").await.ok()?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Some(Answer::Onward) => {
            let head =
                format!("HTTP/1.1 302 Found\r\nconnection: close\r\ncontent-length: 0\r\nlocation: {path}/on\r\n\r\n");
            stream.write_all(head.as_bytes()).await.ok()
        }
        Some(Answer::Headers) => {
            stream.write_all(HEAD.as_bytes()).await.ok()?;
            loop {
                stream.write_all(&b"x-more: and more\r\n".repeat(1_000)).await.ok()?;
            }
        }
        None => stream.write_all(b"HTTP/1.1 404 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await.ok(),
    }
}

/// A page that repeats a piece as often as it fits.
fn full(piece: &str) -> Answer {
    Answer::Html(piece.repeat(PAGE / piece.len()).into_bytes())
}

/// Compressed by Python, which has both.
fn bomb(encoding: &'static str, python: &str) -> Answer {
    let python3 = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let output = Command::new(python3).args(["-c", python]).output().expect("installed by `make test`");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.len() < PAGE, "{encoding}: {} bytes", output.stdout.len());
    Answer::Encoded(encoding, output.stdout)
}

/// Those that were found by thinking.
fn known() -> Vec<(&'static str, Answer)> {
    let html = |text: String| Answer::Html(text.into_bytes());
    let eight = |inner: &str| format!("[{}]", [inner; 8].join(","));
    let types = eight(&eight(&eight("\"Organization\"")));
    let audiences = format!("[{}\"a\"]", "\"a\",".repeat(399_999));
    let json_ld = |json: String| html(format!("<title>Acme</title><script type=application/ld+json>{json}</script>"));
    // Things that refer to one another in circles, and each to two that refer to the next: as a tree they are without end.
    let node = |n: usize, next: &str| format!("{{\"@id\":\"#{n}\",\"@type\":\"Organization\",\"name\":\"a\",{next}}}");
    let to = |n: usize| format!("{{\"@id\":\"#{n}\"}}");
    let next = |n: usize| format!("\"publisher\":{},\"logo\":{},\"name\":{}", to(n), to(n), to(n));
    let circle = format!("[{}]", (0..2_000).map(|n| node(n, &next((n + 1) % 2_000))).collect::<Vec<_>>().join(","));
    let twice = |n: usize| format!("\"name\":[{0},{0},{0},{0}],\"description\":[{0},{0},{0},{0}]", to(n + 1));
    let references = format!("[{}]", (0..1_000).map(|n| node(n, &twice(n))).collect::<Vec<_>>().join(","));
    let attributes: String = (0..2_000).map(|n| format!(" a{n}=b")).collect();
    let base = format!("<base href='http://127.0.0.1/{}/'>", "b".repeat(1 << 20));
    vec![
        ("types", json_ld(format!("{{\"@type\":{types},\"name\":\"Acme\",\"audience\":{audiences}}}"))),
        ("graph", json_ld(format!("{}1{}", "{\"@graph\":[".repeat(100_000), "]}".repeat(100_000)))),
        ("things", json_ld(format!("[{}1]", "{\"@type\":\"Product\",\"name\":\"a\"},".repeat(60_000)))),
        ("objects", html("<p><object>".repeat(190_000))),
        ("tables", html(format!("<table>{}", "x<b>".repeat(PAGE / 4 - 2)))),
        ("attributes", html(format!("<b{attributes}>").repeat(8) + &"<p>x".repeat(400_000))),
        ("one-tag", html(format!("<b{}>", " a=b c".repeat(PAGE / 6 - 1)))),
        ("misnested", html("<div>".repeat(30_000) + &"<b>".repeat(30_000) + &"</div>x".repeat((PAGE - 240_000) / 7))),
        ("base", html(base + &"<a href=x>y</a>".repeat(100_000))),
        ("nested-objects", html(format!("<p>{}", "<object>".repeat(190_000)))),
        ("links", full("<a href='/links/a?b'>c</a>")),
        ("formatting", full("<a><b><i><u><p>x")),
        ("select", full("<select><option>x<table>")),
        ("entities", full("&NotEqualTilde;")),
        ("comments", full("<!-- --><!---->")),
        ("templates", full("<template>")),
        ("lists", full("<ul><li>x")),
        ("headings", full("<h1>x<h2>y")),
        ("svg", full("<svg><foreignObject><math><mtext>")),
        ("ids", json_ld(circle)),
        ("references", json_ld(references)),
        ("comments-of-scripts", json_ld("/*".repeat(PAGE / 2 - 100))),
        ("unended-texts", json_ld("{\"name\":\"\\u".repeat(PAGE / 12 - 20))),
        (
            "entities-of-scripts",
            json_ld(format!("{{\"@type\":\"Organization\",\"name\":\"{}\"}}", "&amp;".repeat(400_000))),
        ),
        ("many-attributes", html(format!("<meta{}>", (0..250_000).map(|n| format!(" a{n}")).collect::<String>()))),
        ("refreshes", html("<meta http-equiv=refresh content='0;url=/refreshes/?'>".repeat(30_000))),
        ("consents", html("<div class='cookie consent' role=dialog>we use cookies ".repeat(30_000))),
        ("choices", html("<div><span>we use cookies, and you may <button>accept</button>".repeat(30_000))),
        ("forms", html("<form><input><p>x</form>".repeat(80_000))),
        ("boxes", html(format!("{}{}", "<div>".repeat(400), "<span>we build pumps for wells</span>".repeat(50_000)))),
        ("gzip", bomb("gzip", GZIP)),
        ("deflate", bomb("deflate", DEFLATE)),
        ("brotli", bomb("br", BROTLI)),
        ("drip", Answer::Drip),
        ("onward", Answer::Onward),
        ("headers", Answer::Headers),
    ]
}

const GZIP: &str = "import sys, zlib
z = zlib.compressobj(9, zlib.DEFLATED, 31)
piece = b'<b>x' * (1 << 18)
for _ in range(200): sys.stdout.buffer.write(z.compress(piece))
sys.stdout.buffer.write(z.flush())";

const DEFLATE: &str = "import sys, zlib
z = zlib.compressobj(9)
piece = b'<b>x' * (1 << 18)
for _ in range(200): sys.stdout.buffer.write(z.compress(piece))
sys.stdout.buffer.write(z.flush())";

const BROTLI: &str = "import sys, brotli
sys.stdout.buffer.write(brotli.compress(b'<b>x' * (50 << 20), quality=3))";

/// A page by chance: pieces that nest, repeat, stay open, carry attributes or hold JSON-LD.
fn page(seed: u64) -> Answer {
    let random = Seeded::new(seed);
    let mut text = "<title>Acme</title>".to_owned();
    while text.len() < PAGE {
        let room = PAGE - text.len();
        piece(&random, room.min(1 + random.below(PAGE)), &mut text);
    }
    Answer::Html(text.into_bytes())
}

const TAGS: [&str; 32] = [
    "a", "b", "i", "em", "nobr", "font", "code", "p", "div", "span", "ul", "li", "dl", "dd", "h1", "h3", "table", "tr",
    "td", "caption", "select", "option", "button", "form", "object", "marquee", "svg", "math", "mtext", "template",
    "ruby", "rt",
];

fn piece(random: &Seeded, room: usize, text: &mut String) {
    let tag = || TAGS[random.below(TAGS.len())];
    let opened = |times: usize| -> String {
        let attributes = |count: usize| -> String { (0..count).map(|n| format!(" a{n}=b")).collect() };
        let one = |_| format!("<{}{}>", tag(), attributes([0, 0, 0, 1, 40][random.below(5)]));
        (0..times).map(one).collect()
    };
    match random.below(6) {
        // Opened again and again, and never closed.
        0 => {
            let one = opened(1 + random.below(4)) + ["", "x", " "][random.below(3)];
            text.push_str(&one.repeat(room / one.len()));
        }
        // Nested, and closed from the inside or from the outside.
        1 => {
            let names: Vec<_> = (0..1 + random.below(4)).map(|_| tag()).collect();
            let times = (room / 20).min(30_000) + 1;
            names.iter().for_each(|name| text.push_str(&format!("<{name}>").repeat(times / names.len() + 1)));
            names.iter().for_each(|name| text.push_str(&format!("</{name}>x").repeat(times / names.len() + 1)));
        }
        // Many attributes, made again for every text.
        2 => {
            text.push_str(&opened(200));
            text.push_str(&format!("<{}>x", tag()).repeat(room / 8));
        }
        // JSON-LD, which nests.
        3 => {
            let mut json = "\"Organization\"".to_owned();
            for _ in 0..1 + random.below(6) {
                let inside = json.len() + 40;
                let times = (room / inside).clamp(1, 1 + random.below(100));
                let key = ["@graph", "@type", "audience", "makesOffer", "name"][random.below(5)];
                let list = vec![json; times].join(",");
                json = format!("{{\"@type\":[\"Organization\",\"Product\"],\"name\":\"a\",\"{key}\":[{list}]}}");
            }
            text.push_str(&format!("<script type='application/ld+json'>{json}</script>"));
        }
        // Links under a long base.
        4 => {
            text.push_str(&format!("<base href='/{}/'>", "b".repeat(random.below(4_000))));
            text.push_str(&"<a href='x?y#z'>w</a>".repeat(room / 21));
        }
        // A plain page in between.
        _ => text.push_str(&"<h2>Tools</h2><p>We make tools.</p>".repeat(1 + random.below(100))),
    }
}

/// Has a new tenant's campaign read the website; what came of it, and after how long.
async fn read(target: &Target, tenant: &str, website: &str) -> (pb::Campaign, Duration) {
    let mut api = target.user(tenant).await;
    add_prospects(&mut api, 1).await;
    let begun = Instant::now();
    start_campaign(&mut api, website).await;
    loop {
        let now = newest(&mut api).await;
        let ended = matches!(now.state(), CampaignState::Failed | CampaignState::WaitingAnalysis);
        if ended || now.steps[0].status() == StepStatus::Completed {
            return (now, begun.elapsed());
        }
        assert!(begun.elapsed() < 2 * READ_WITHIN, "{website} is read for ever: {now:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Has all of them read, some at a time; beside each an ordinary campaign of another.
async fn all(names: &[String], sites: Sites) {
    let mut target =
        Target::start(&[("HERALD_FETCH_TIMEOUT_SECONDS", "4"), ("HERALD_ENGINE_RETRY_MILLIS", "50")]).await;
    let (hostile, ordinary) = (serve(sites).await, ordinary().await);
    let bystander = target.bystander().await;
    let memory = target.memory();
    // A release build is measured with one attacker.
    let at_once = if released() { 1 } else { AT_ONCE };
    let mut faults = Vec::new();
    for (nth, some) in names.chunks(at_once).enumerate() {
        let target = &target;
        let reads = some.iter().map(|name| {
            let website = format!("{hostile}{name}/");
            async move { (name, read(target, &format!("attacker_{name}"), &website).await) }
        });
        let beside = campaign(target, format!("other_{nth}"), &ordinary);
        let (read, beside) = tokio::join!(futures_util::future::join_all(reads), beside);
        for (name, (campaign, took)) in read {
            let failed = campaign.state() == CampaignState::Failed;
            println!("{name}: {:?} after {took:?} {}; {} MiB", campaign.state(), campaign.failure, memory.peak() >> 20);
            if took > READ_WITHIN {
                faults.push(format!("{name} takes {took:?}"));
            }
            if failed && campaign.failure.split(' ').count() < 3 {
                faults.push(format!("{name} fails without words: {:?}", campaign.failure));
            }
        }
        if beside > READ_WITHIN {
            faults.push(format!("an ordinary campaign beside {some:?} takes {beside:?}"));
        }
    }
    target.assert_alive();
    assert!(faults.is_empty(), "{faults:#?}");
    memory.assert_bounded("hostile pages");
    bystander.assert_served("hostile pages");
}

async fn ordinary() -> String {
    let page = "<title>Acme</title><h1>Acme tools</h1><p>We make tools for gardeners.</p>";
    let sites = HashMap::from([("ordinary".to_owned(), Answer::Html(page.as_bytes().to_vec()))]);
    serve(sites).await + "ordinary/"
}

/// How long a new tenant's campaign takes from the start to the last mail.
async fn campaign(target: &Target, tenant: String, website: &str) -> Duration {
    let mut api = target.user(&tenant).await;
    add_prospects(&mut api, 2).await;
    auto_approve(&mut api).await;
    let begun = Instant::now();
    start_campaign(&mut api, website).await;
    let done = reaches(&mut api, CampaignState::Completed).await;
    assert_eq!(done.emails.expect("counts").sent, 2);
    begun.elapsed()
}

/// Pages of which each was found to take minutes, gigabytes or both, and what is like them. `HOSTILE_PAGES=name,name`: those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websites_that_multiply_are_read_in_their_time_and_within_their_memory() {
    let only = std::env::var("HOSTILE_PAGES").ok();
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    let known: Vec<_> = known().into_iter().filter(|(name, _)| is_wanted(name)).collect();
    let names: Vec<_> = known.iter().map(|(name, _)| (*name).to_owned()).collect();
    all(&names, known.into_iter().map(|(name, answer)| (name.to_owned(), answer)).collect()).await;
}

/// The same of pages by chance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websites_by_chance_are_read_in_their_time_and_within_their_memory() {
    let seeds: Vec<_> = seeds(if deep() { 200 } else { 8 }).collect();
    let names: Vec<_> = seeds.iter().map(|seed| format!("seed-{seed}")).collect();
    let sites = names.iter().cloned().zip(seeds.iter().map(|seed| page(*seed))).collect();
    all(&names, sites).await;
}
