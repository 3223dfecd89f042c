//! What is met at a server's address where Herald does not answer.
//!
//! The errors of a gRPC client tell of its layers. Whoever has mistyped a port, a scheme or a file's name needs to know who is
//! there instead, so the address is tried again, step by step as a person would with other tools: the name, the port, TLS, and
//! what is said over HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{Status, TimeoutExpired};

/// The server as it is addressed.
pub(super) struct Place<'a> {
    pub host: &'a str,
    pub port: u16,
    /// None for plain text.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether a certificate would be shown to a server that asks for one.
    pub shows_certificate: bool,
}

/// Who or what is there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Met {
    #[error("no address is known for {0}: check the name")]
    NoSuchName(String),
    #[error("nothing listens there: is `herald serve` running there?")]
    Nothing,
    #[error("{0}: check the host, the port and what is between")]
    Unreachable(String),
    #[error("nothing answers there within {} seconds: check the host, the port and what is between", PATIENCE.as_secs())]
    Silence,
    #[error("the server speaks TLS: write https:// in place of http://")]
    Tls,
    #[error("the server speaks plain text, no TLS: write http:// in place of https://")]
    Plain,
    #[error(
        "the server's certificate is not trusted, since its authority is not known: name a file with the authority by --ca"
    )]
    Untrusted,
    /// A certificate that no client accepts, whichever authority it trusts: what the server shows, and the name it is asked by.
    #[error(
        "the server's certificate is {what}, and not for a server: have its authority issue another, and name that authority by --ca:\n  {}",
        openssl(name)
    )]
    Misissued { what: &'static str, name: String },
    #[error("the server's certificate is for another name than {0}: use the name that it is for")]
    OtherName(String),
    #[error("the server's certificate has expired: it must be renewed there")]
    Expired,
    #[error("the server's certificate is not valid yet: compare the clocks")]
    NotYetValid,
    #[error("the server's certificate is not accepted: {0}")]
    Certificate(String),
    #[error("the server wants a client certificate: give --client-certificate and --client-key")]
    WantsCertificate,
    #[error("the server does not accept the client certificate ({0}): give one of an authority that it trusts")]
    RefusesCertificate(&'static str),
    #[error("TLS fails: {0}")]
    TlsFails(String),
    #[error("a proxy is there that does not reach Herald (HTTP {0}): is `herald serve` running behind it?")]
    Gateway(u16),
    #[error("HTTP is spoken there, but no gRPC (HTTP {0}): is this the port of Herald, and does a proxy pass gRPC on?")]
    NoGrpc(u16),
    #[error(
        "only HTTP/1 is spoken there (HTTP {0}), and gRPC needs HTTP/2: is this the port of Herald, or of a proxy that does \
             not pass HTTP/2 on?"
    )]
    OnlyHttp1(u16),
    #[error("neither HTTP nor TLS is spoken there: is this the port of Herald?")]
    Other,
    #[error("the answer did not come within the time of --timeout")]
    Late,
    #[error("the connection broke ({0}); it can be made again now")]
    Broken(String),
}

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a server may take to refuse the certificate, or that there is none.
const ALERT: Duration = Duration::from_millis(300);
/// What a client of HTTP/2 says first, with no settings of its own.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

impl Met {
    /// What whoever looks after the server can do, where what is met says it of the client.
    pub(super) fn to_do(&self) -> &'static str {
        match self {
            Self::Untrusted => "name by --ca the authority of tls.certificate_file",
            Self::OtherName(_) => {
                "name the server by --server as its certificate does, such as https://herald.example:50051"
            }
            Self::WantsCertificate | Self::RefusesCertificate(_) => {
                "show a certificate of an authority in tls.client_ca_file: --client-certificate, --client-key"
            }
            Self::Misissued { .. } | Self::Expired | Self::NotYetValid | Self::Certificate(_) => {
                "put another certificate into tls.certificate_file"
            }
            Self::Tls | Self::Plain => "start the server with these settings, or correct --server",
            _ => "start the server, or correct --server",
        }
    }
}

/// What is met there; `status` is what the call that had no answer ended with, if one was made.
pub(super) async fn meet(place: &Place<'_>, status: Option<&Status>) -> Met {
    match status.and_then(http_code) {
        Some(code @ 502..=504) => return Met::Gateway(code),
        Some(code) => return Met::NoGrpc(code),
        None => {}
    }
    let is_late = status.is_some_and(|status| status.message() == TimeoutExpired(()).to_string());
    match step_by_step(place).await {
        Err(met) => met,
        Ok(()) if is_late => Met::Late,
        Ok(()) => Met::Broken(status.map_or_else(String::new, root)),
    }
}

/// The code of an answer over HTTP/2 that was none of gRPC. tonic has no other place for it than its message.
fn http_code(status: &Status) -> Option<u16> {
    let message = status.message();
    if let Some((_, code)) = message.rsplit_once("HTTP status code ") {
        return code.trim().parse().ok();
    }
    let code = message.rsplit_once("with status: ").and_then(|(_, code)| code.split(' ').next()?.parse().ok());
    code.or_else(|| message.starts_with("protocol error").then_some(200))
}

/// What is at the bottom of an error.
fn root(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::eq(cause, status as &dyn std::error::Error) { status.message().to_owned() } else { cause.to_string() }
}

/// Whether what is there speaks as it is to be spoken to.
pub(super) async fn step_by_step(place: &Place<'_>) -> Result<(), Met> {
    let stream = connect(place).await?;
    match &place.tls {
        None => plainly(place, stream).await,
        Some(config) => over_tls(place, config.clone(), stream).await,
    }
}

async fn plainly(place: &Place<'_>, mut stream: TcpStream) -> Result<(), Met> {
    match exchange(&mut stream, PREFACE).await {
        Ok(said) if is_http2(&said) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(Met::Silence),
        // Something else was said, or the other end has closed, as what speaks something else does.
        Ok(_) | Err(_) => {}
    }
    if speaks_tls(place).await {
        return Err(Met::Tls);
    }
    let said = exchange(&mut connect(place).await?, request(place.host).as_bytes()).await.unwrap_or_default();
    Err(of_http1(&said))
}

async fn over_tls(place: &Place<'_>, config: Arc<ClientConfig>, stream: TcpStream) -> Result<(), Met> {
    let name = ServerName::try_from(bare(place.host).to_owned());
    let name = name.map_err(|InvalidDnsNameError { .. }| Met::NoSuchName(place.host.to_owned()))?;
    let made = within(TlsConnector::from(config).connect(name, stream)).await?;
    let mut stream = made.map_err(|error| of_tls(place, &error))?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    // A server that wants another certificate says so when its client is done with the handshake.
    if let Ok(Err(error)) = tokio::time::timeout(ALERT, stream.read(&mut [0; 64])).await {
        return Err(after_handshake(place, &error));
    }
    if is_http2 {
        return exchange(&mut stream, PREFACE).await.map(|_| ()).map_err(|error| after_handshake(place, &error));
    }
    match exchange(&mut stream, request(place.host).as_bytes()).await {
        Ok(said) => Err(of_http1(&said)),
        Err(error) => Err(after_handshake(place, &error)),
    }
}

async fn connect(place: &Place<'_>) -> Result<TcpStream, Met> {
    let host = bare(place.host);
    let no_such_name = || Met::NoSuchName(host.to_owned());
    // A name server that is silent knows the name as little as one that denies it.
    let found = within(tokio::net::lookup_host((host, place.port))).await.map_err(|_| no_such_name())?;
    let addresses: Vec<SocketAddr> = found.map_err(|_| no_such_name())?.collect();
    if addresses.is_empty() {
        return Err(no_such_name());
    }
    within(TcpStream::connect(addresses.as_slice())).await?.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Met::Nothing,
        io::ErrorKind::TimedOut => Met::Silence,
        _ => Met::Unreachable(error.to_string()),
    })
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

async fn within<F: Future>(step: F) -> Result<F::Output, Met> {
    tokio::time::timeout(PATIENCE, step).await.map_err(|_| Met::Silence)
}

fn request(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Sends, and gives the first bytes of the answer; none if the other end closes.
async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut said = vec![0; 64];
    let talk = async {
        stream.write_all(bytes).await?;
        stream.flush().await?;
        stream.read(&mut said).await
    };
    let count = tokio::time::timeout(PATIENCE, talk).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    said.truncate(count);
    Ok(said)
}

/// Whether an answer begins with the frame of settings with which HTTP/2 begins.
fn is_http2(said: &[u8]) -> bool {
    const SETTINGS: u8 = 4;
    said.get(3) == Some(&SETTINGS)
}

/// What an answer tells, if it is one of HTTP/1.
fn of_http1(said: &[u8]) -> Met {
    let text = String::from_utf8_lossy(said);
    let code = text.strip_prefix("HTTP/").and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
    match code {
        Some(code @ 502..=504) => Met::Gateway(code),
        Some(code) => Met::OnlyHttp1(code),
        None => Met::Other,
    }
}

/// Whether the beginning of a handshake is answered as TLS answers it.
async fn speaks_tls(place: &Place<'_>) -> bool {
    const HANDSHAKE: u8 = 22;
    const REFUSAL: u8 = 21;
    let Ok(name) = ServerName::try_from("localhost") else { return false };
    let roots = rustls::RootCertStore::empty();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut hello = Vec::new();
    let written = ClientConnection::new(Arc::new(config), name).map(|mut client| client.write_tls(&mut hello));
    let Ok(mut stream) = connect(place).await else { return false };
    if !matches!(written, Ok(Ok(_))) {
        return false;
    }
    let said = exchange(&mut stream, &hello).await.unwrap_or_default();
    matches!(said.first(), Some(&(HANDSHAKE | REFUSAL)))
}

fn after_handshake(place: &Place<'_>, error: &io::Error) -> Met {
    match error.kind() {
        io::ErrorKind::TimedOut => Met::Silence,
        io::ErrorKind::InvalidData => of_tls(place, error),
        _ => Met::Broken(error.to_string()),
    }
}

/// What an error of TLS tells of the server.
fn of_tls(place: &Place<'_>, error: &io::Error) -> Met {
    use AlertDescription as Alert;
    use rustls::Error as Tls;
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Met::Plain,
            _ => Met::TlsFails(error.to_string()),
        };
    };
    match tls {
        Tls::InvalidMessage(_) => Met::Plain,
        Tls::InvalidCertificate(why) => match why {
            // Signed by another authority, maybe one of the same name.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Met::Untrusted,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Met::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Met::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Met::OtherName(place.host.to_owned())
            }
            other => match crate::transport::not_for_a_server(other) {
                Some(what) => Met::Misissued { what, name: bare(place.host).to_owned() },
                None => Met::Certificate(other.to_string()),
            },
        },
        Tls::AlertReceived(Alert::CertificateRequired) => Met::WantsCertificate,
        Tls::AlertReceived(Alert::HandshakeFailure | Alert::BadCertificate) if !place.shows_certificate => {
            Met::WantsCertificate
        }
        Tls::AlertReceived(alert) if place.shows_certificate => Met::RefusesCertificate(why_refused(*alert)),
        other => Met::TlsFails(other.to_string()),
    }
}

/// What a server has against a client certificate, by the alert that it ends the connection with.
fn why_refused(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::UnknownCA => "its authority is not known there",
        Alert::CertificateExpired => "it has expired",
        Alert::CertificateRevoked => "it is revoked",
        Alert::DecryptError => "its authority has not signed it",
        Alert::AccessDenied => "it may not come in",
        _ => "the server does not say why",
    }
}

/// How an authority issues a certificate to the host of that name or address.
fn openssl(name: &str) -> String {
    let kind = if name.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 365 -CA ca.pem -CAkey ca.key \
         -subj /CN={name} -addext subjectAltName={kind}:{name} -addext basicConstraints=critical,CA:FALSE \
         -keyout server.key -out server.pem"
    )
}
