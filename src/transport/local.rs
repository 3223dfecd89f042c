//! Who calls a development server, which takes callers on their word: this machine, by a name of its own.
//!
//! That it listens on loopback is not enough. A page of elsewhere can have its own name lead to 127.0.0.1 once it is open
//! in a browser (DNS rebinding), and then is of the same origin as what it calls: its name gives it away.

use http::header::{HOST, ORIGIN};
use http::uri::Authority;

use crate::call::Request;

/// Whether the request names this machine, and comes from a page of it if from any.
pub(super) fn is_local(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let named = request.uri().authority().map(Authority::as_str);
    let mut origins = request.headers().get_all(ORIGIN).iter();
    named.is_none_or(is_local_host)
        && hosts.all(is_local_host)
        && origins.all(|origin| origin.to_str().is_ok_and(is_local_origin))
}

/// Whether pages of the origin are of this machine.
pub(super) fn is_local_origin(origin: &str) -> bool {
    let url = url::Url::parse(origin).ok();
    url.is_some_and(|url| url.host_str().is_some_and(is_local_name))
}

fn is_local_host(host: &str) -> bool {
    host.parse::<Authority>().is_ok_and(|authority| is_local_name(authority.host()))
}

fn is_local_name(name: &str) -> bool {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_own_names_alone() {
        for host in ["localhost", "LOCALHOST:50051", "127.0.0.1:1", "127.9.9.9", "[::1]:50051", "[::1]"] {
            assert!(is_local_host(host), "{host}");
        }
        for host in
            ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[::2]:1", "0.0.0.0"]
        {
            assert!(!is_local_host(host), "{host}");
        }
        assert!(is_local_origin("http://localhost:3000") && is_local_origin("https://[::1]"));
        for origin in ["null", "http://evil.example", "file://", "http://localhost.evil.example"] {
            assert!(!is_local_origin(origin), "{origin}");
        }
    }
}
