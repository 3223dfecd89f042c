//! Service links: variables that Kubernetes (and Docker, once) puts into every container for each service beside it. Those
//! of a service whose name begins with `herald` begin as settings do, and are none.

/// Whether the variable has the shape of a service link, such as `HERALD_SERVICE_HOST=10.0.0.1` or
/// `HERALD_PORT=tcp://10.0.0.1:50051`. A plain number in `HERALD_PORT` is none: somebody meant a setting.
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT") && value.split_once("://").is_some_and(|(scheme, _)| is_protocol(scheme)) {
        return true;
    }
    // `…_PORT_50051_TCP`, and the same with `_PROTO`, `_PORT` or `_ADDR` after it.
    let name = ["_PROTO", "_PORT", "_ADDR"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    let mut parts = name.rsplit('_');
    let protocol = parts.next().is_some_and(is_protocol);
    let port = parts.next().is_some_and(|part| part.parse::<u16>().is_ok());
    protocol && port && parts.next() == Some("PORT")
}

fn is_protocol(name: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_sets_for_a_service_is_a_link_and_what_somebody_mistyped_is_none() {
        let links = [
            ("HERALD_SERVICE_HOST", "10.96.0.7"),
            ("HERALD_SERVICE_PORT", "50051"),
            ("HERALD_SERVICE_PORT_GRPC", "50051"),
            ("HERALD_PORT", "tcp://10.96.0.7:50051"),
            ("HERALD_PORT_50051_TCP", "tcp://10.96.0.7:50051"),
            ("HERALD_PORT_50051_TCP_PROTO", "tcp"),
            ("HERALD_PORT_50051_TCP_PORT", "50051"),
            ("HERALD_PORT_50051_TCP_ADDR", "10.96.0.7"),
            ("HERALD_ADMIN_PORT_53_UDP", "udp://10.96.0.7:53"),
            ("HERALD_ADMIN_SERVICE_HOST", "fd00::7"),
        ];
        for (name, value) in links {
            assert!(is_service_link(name, value), "{name}");
        }
        let others = [
            ("HERALD_PORT", "50051"),
            ("HERALD_PORT", ""),
            ("HERALD_PORT", "http://10.96.0.7"),
            ("HERALD_PORT_50051", "tcp"),
            ("HERALD_PORT_70000_TCP", "tcp://10.96.0.7:70000"),
            ("HERALD_50051_TCP", "tcp"),
            ("HERALD_LISTENN", "127.0.0.1:1"),
            ("HERALD_SERVICE", "herald"),
        ];
        for (name, value) in others {
            assert!(!is_service_link(name, value), "{name}={value}");
        }
    }
}
