//! Websites for the tests, on loopback: the example company, and pages made on the spot.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How a path is answered.
#[derive(Clone)]
pub enum Answer {
    /// Status, content type, body.
    Page(u16, &'static str, Vec<u8>),
    Redirect(String),
    /// Never.
    Silence,
    /// Takes this long.
    Slow(Duration, Vec<u8>),
    /// All of the answer, its head too.
    Raw(Vec<u8>),
}

/// A site whose one page changes, and which counts who asks.
pub struct Changing {
    pub url: String,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl Changing {
    pub async fn serve(answer: Answer) -> Self {
        let (listener, url) = listen().await;
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (now, count) = (answer.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = now.lock().expect("no panic").clone();
                tokio::spawn(respond(stream, move |_| Some(answer)));
            }
        });
        Self { url, answer, asked }
    }

    pub fn set(&self, answer: Answer) {
        *self.answer.lock().expect("no panic") = answer;
    }

    /// How often it was asked since the last time this was called.
    pub fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

/// The address of the example company's website, served until the test ends.
pub async fn example() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/site");
    serve(HashMap::new(), Some(root)).await
}

/// A website of these pages.
pub async fn pages(pages: impl IntoIterator<Item = (&'static str, Answer)>) -> String {
    serve(pages.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect(), None).await
}

/// A website of the pages that are made for its address.
pub async fn made(make: impl FnOnce(&str) -> HashMap<String, Answer>) -> String {
    let (listener, url) = listen().await;
    serve_at(listener, make(&url), None);
    url
}

/// A web server that answers everything with this status and a page, over HTTP/2 and HTTP/1; until the test ends.
pub async fn any_http(status: u16) -> SocketAddr {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(move |_| async move {
                let page = http_body_util::Full::new(bytes::Bytes::from_static(b"<h1>a page</h1>"));
                http::Response::builder().status(status).header("content-type", "text/html").body(page)
            });
            tokio::spawn(async move {
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    address
}

/// A company's page with as little as a campaign needs: a name, and words of its own.
pub fn company() -> Answer {
    html("<title>Acme</title><h1>Acme tools</h1><p>We make tools for gardeners.</p>")
}

pub fn html(body: &str) -> Answer {
    Answer::Page(200, "text/html; charset=utf-8", body.as_bytes().to_vec())
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}/"))
}

async fn serve(pages: HashMap<String, Answer>, root: Option<PathBuf>) -> String {
    let (listener, url) = listen().await;
    serve_at(listener, pages, root);
    url
}

fn serve_at(listener: TcpListener, pages: HashMap<String, Answer>, root: Option<PathBuf>) {
    let (pages, root) = (Arc::new(pages), root.map(Arc::new));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (pages, root) = (pages.clone(), root.clone());
            let find = move |path: &str| pages.get(path).cloned().or_else(|| file(root.as_deref()?, path));
            tokio::spawn(respond(stream, find));
        }
    });
}

async fn respond(mut stream: TcpStream, find: impl FnOnce(&str) -> Option<Answer>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&buffer[..n]),
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let found = find(head.split_whitespace().nth(1).unwrap_or("/"));
    let (status, extra, body) = match found {
        Some(Answer::Page(status, kind, body)) => (status, format!("content-type: {kind}\r\n"), body),
        Some(Answer::Redirect(to)) => (302, format!("location: {to}\r\n"), Vec::new()),
        Some(Answer::Slow(time, body)) => {
            tokio::time::sleep(time).await;
            (200, "content-type: text/html\r\n".to_owned(), body)
        }
        Some(Answer::Raw(bytes)) => {
            let _ = stream.write_all(&bytes).await;
            return;
        }
        Some(Answer::Silence) => return tokio::time::sleep(Duration::from_secs(60)).await,
        None => (404, "content-type: text/html\r\n".to_owned(), b"not here".to_vec()),
    };
    let head = format!("HTTP/1.1 {status} X\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
}

fn file(root: &Path, path: &str) -> Option<Answer> {
    let mut file = root.join(path.trim_start_matches('/'));
    if file.is_dir() {
        file = file.join("index.html");
    }
    let kind = if file.extension()? == "html" { "text/html; charset=utf-8" } else { "application/octet-stream" };
    Some(Answer::Page(200, kind, std::fs::read(&file).ok()?))
}
