//! How long a call may take.

use std::time::Duration;

use http::HeaderMap;

/// What the client allows (gRPC over HTTP/2, `grpc-timeout`), and no more than `longest`. What cannot be read counts as
/// nothing told.
pub(super) fn allowed(headers: &HeaderMap, longest: Duration) -> Duration {
    let told = headers.get("grpc-timeout").and_then(|value| parse(value.as_bytes()));
    told.map_or(longest, |told| told.min(longest))
}

/// At most eight digits and a unit.
fn parse(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match unit {
        b'H' => Some(Duration::from_secs(number * 60 * 60)),
        b'M' => Some(Duration::from_secs(number * 60)),
        b'S' => Some(Duration::from_secs(number)),
        b'm' => Some(Duration::from_millis(number)),
        b'u' => Some(Duration::from_micros(number)),
        b'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_of_the_clients_and_our_own_counts() {
        let longest = Duration::from_secs(30);
        let told = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(value));
            allowed(&headers, longest)
        };
        assert_eq!(allowed(&HeaderMap::new(), longest), longest);
        for (value, time) in [
            ("20m", Duration::from_millis(20)),
            ("7S", Duration::from_secs(7)),
            ("00000012u", Duration::from_micros(12)),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("0S", Duration::ZERO),
            ("1M", longest),
            ("99999999H", longest),
            ("", longest),
            ("S", longest),
            ("5", longest),
            ("5s", longest),
            ("-5S", longest),
            ("100000000n", longest),
        ] {
            assert_eq!(told(value), time, "{value:?}");
        }
    }
}
