//! What each option of a command line says in the request: a server that answers everything with next to nothing writes down what
//! it is asked, and tests/golden/commands.txt has been read.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tokio::net::TcpListener;

use crate::golden::golden;
use crate::support::process::herald;
use crate::support::{folder, loopback, rpc};

type Asked = Arc<Mutex<String>>;

/// The address of a server that answers every call with a message that is empty but for the id of a campaign.
async fn recorder(asked: Asked) -> String {
    let listener = TcpListener::bind(loopback()).await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = asked.clone();
            let answer = hyper::service::service_fn(move |request| answer(request, asked.clone()));
            tokio::spawn(async move {
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

async fn answer(
    request: Request<Incoming>,
    asked: Asked,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let rpc = rpc::rpcs().into_iter().find(|rpc| rpc.descriptor.name() == name).expect("a method of ours");
    // Behind the flag and the length.
    let message = DynamicMessage::decode(rpc.descriptor.input(), body.slice(5..)).expect("a request");
    writeln!(asked.lock().expect("no panic"), "    {name} {}", rpc::json(&message)).expect("a text");
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), "0".parse().expect("a value"))]);
    let mut answer = DynamicMessage::new(rpc.descriptor.output());
    if rpc.descriptor.output().get_field_by_name("campaign").is_some() {
        let campaign = serde_json::json!({ "campaign": { "id": "cp_1" } });
        answer = DynamicMessage::deserialize(rpc.descriptor.output(), campaign).expect("an answer");
    }
    let answer = answer.encode_to_vec();
    let mut framed = vec![0, 0, 0, 0, u8::try_from(answer.len()).expect("a short answer")];
    framed.extend(answer);
    let body = Full::new(Bytes::from(framed)).with_trailers(async move { Some(Ok(trailers)) });
    Ok(Response::builder().header("content-type", "application/grpc").body(body).expect("an answer"))
}

/// A file with a body of a letter stands for FILE, one with an address for LIST, one with a secret for SECRET, an empty one for EMPTY, and one with a text of a
/// template for LETTER.
const COMMANDS: &[&str] = &[
    "campaign preview --tag a --tag b --industry c --status contacted --source d --language de --prospect pr_1 --max-per-company 2 \
     --max-prospects 3 --not-again-days 4",
    "campaign run --website https://one.example --goal press --goal-detail detail --template modern_tech --mailbox mb_1 --mailbox mb_2 --tag a --industry c \
     --status replied --source d --language de --prospect pr_1 --min-score 5 --max-per-company 2 --max-prospects 3 \
     --not-again-days 0",
    "campaign list --state running,paused --state failed --limit 7",
    "campaign list",
    "campaign status --campaign cp_1",
    "campaign watch --campaign cp_1",
    "campaign pause --campaign cp_1",
    "campaign resume --campaign cp_1",
    "campaign cancel --campaign cp_1",
    "campaign results --campaign cp_1",
    "campaign recipients --campaign cp_1 --limit 7",
    "campaign emails --campaign cp_1 --limit 7",
    "campaign emails em_1",
    "campaign select-template modern_tech --campaign cp_1",
    "campaign approve --campaign cp_1",
    "campaign review em_1 --approve --campaign cp_1",
    "campaign review em_1 --reject",
    "campaign review em_1 --reconsider",
    "campaign review em_1 --subject New --body FILE",
    "campaign retry --campaign cp_1",
    "campaign retry em_1 em_2 --campaign cp_1",
    "campaign resolve em_1 --sent --campaign cp_1",
    "campaign resolve em_1 em_2 --again",
    "campaign resolve --all --drop",
    "campaign resolve --all",
    "campaign bounce em_1 --status 5.1.1 --diagnostic TEXT",
    "campaign bounce <em_1@acme.example> --permanent",
    "campaign bounce --to kim@acme.example --status 4.2.2",
    "campaign bounce em_1",
    "campaign complaint em_1",
    "campaign complaint --to kim@acme.example",
    "campaign complaint",
    "templates list",
    "templates values",
    "templates get modern_tech --language de",
    "templates create --name Fairs --description Trade --text en=LETTER --text de=LETTER",
    "templates update tp_1 --name Fairs --description New --text en=LETTER",
    "templates preview tp_1 --prospect pr_1 --campaign cp_1 --mailbox mb_1 --language de",
    "templates preview --text en=LETTER",
    "campaign test tp_1 --mailbox mb_1 --prospect pr_1 --campaign cp_1 --language de",
    "templates delete tp_1",
    "prospects list --status contacted --tag a --industry b --query c --engagement not-interested --deleted --urgent \
     --campaign cp_1 --limit 7",
    "prospects count",
    "mailboxes list",
    "mailboxes get mb_1",
    "mailboxes create --address anna@acme.example --display-name Anna --reply-to answers@acme.example --signature FILE \
     --postal-address London --html --host smtp.acme.example --port 2525 --security tls --username anna --password-file SECRET \
     --per-hour 5 --per-day 0 --pause 30-90 --ramp 5+2 --days mon-wed,sat --hours 8:30-17:00 --time-zone Europe/Berlin \
     --holiday 2026-12-25 --holiday 2026-12-26 --dkim herald2026",
    "mailboxes create --address anna@acme.example --host smtp.gmail.com --username anna --oauth google --client-id id \
     --client-secret-file SECRET --refresh-token-file SECRET",
    "mailboxes create --address anna@acme.example --outbox",
    "mailboxes create --address anna@acme.example",
    "mailboxes update mb_1 --oauth https://tokens.example/token",
    "mailboxes update mb_1 --password-file SECRET",
    "mailboxes update mb_1 --password-file EMPTY --html=false --reply-to= --days= --hours= --holiday= --ramp 0+0",
    "mailboxes update mb_1 --signature EMPTY",
    "mailboxes update mb_1",
    "mailboxes update mb_1 --password-file - --client-secret-file -",
    "mailboxes pause mb_1 --reason holidays",
    "mailboxes pause anna@acme.example",
    "mailboxes resume mb_1",
    "mailboxes test mb_1",
    "mailboxes delete mb_1",
    "suppressions add kim@acme.example --reason complained",
    "suppressions add --file LIST",
    "suppressions remove kim@acme.example",
    "suppressions list --limit 7",
    "audit list --method UpdateProspect --subject user_a --id pr_1 --since 2026-03-01T00:00:00Z --until 2026-03-02T00:00:00Z \
     --limit 7",
    "config get",
    "config set sender.unsubscribe_email=a@b.example industries=one,two auto_approve=true goal=press \
     controls.pause_on_error=true",
    "config set sender.unsubscribe_email= auto_approve=false",
    "cache get key",
    "cache set key 5 --ttl 60",
    "cache keys --prefix a",
    "cache clear",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_option_says_in_the_request_what_its_help_says() {
    let asked = Asked::default();
    let address = recorder(asked.clone()).await;
    let files = folder();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let (letter, list) = (file("letter", "Dear Kim,\n\nall is new.\n"), file("list", "kim@acme.example\n"));
    let (secret, empty) = (file("secret", "s3cret\n"), file("empty", ""));
    let template = file("template", "Subject: For {{ prospect.company }}\r\n\r\n{{ salutation.formal }}\r\n");
    let [english, german] = ["en", "de"].map(|language| format!("{language}={template}"));
    let mut text = String::new();
    for command in COMMANDS {
        let args = command.split_whitespace().map(|arg| match arg {
            "FILE" => letter.as_str(),
            "LIST" => list.as_str(),
            "SECRET" => secret.as_str(),
            "EMPTY" => empty.as_str(),
            "en=LETTER" => english.as_str(),
            "de=LETTER" => german.as_str(),
            arg => arg,
        });
        let mut herald = herald();
        herald.args(args).args(["--user", "user_a", "--server", &address]);
        let output = tokio::task::spawn_blocking(move || herald.output()).await.expect("no panic").expect("it ends");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        let lacking = [
            "mailboxes create --address anna@acme.example",
            "campaign bounce em_1",
            "campaign complaint",
            "campaign resolve --all",
        ];
        let is_refused = lacking.contains(command);
        assert_eq!(output.status.code() == Some(2), is_refused, "{command}: {told}");
        let words: Vec<_> = command.split_whitespace().collect();
        writeln!(text, "{}", words.join(" ")).expect("a text");
        text.push_str(&std::mem::take(&mut *asked.lock().expect("no panic")));
    }
    golden("commands.txt", &text);
}
