//! The charset that a meta element names, in the HTML standard's words; for the prescan of bytes and the scan of elements alike.

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};

/// What the encoding that an element names stands for: whoever could read the name did not read UTF-16.
pub(super) fn of_element(named: &'static Encoding) -> &'static Encoding {
    if named == UTF_16LE || named == UTF_16BE {
        UTF_8
    } else if named == X_USER_DEFINED {
        WINDOWS_1252
    } else {
        named
    }
}

/// "Extracting a character encoding from a meta element": the label behind `charset` and `=` in a `content`.
pub(super) fn in_content(content: &[u8]) -> Option<&'static Encoding> {
    let mut rest = content;
    loop {
        let at = rest.windows(7).position(|window| window.eq_ignore_ascii_case(b"charset"))?;
        rest = &rest[at + 7..];
        if let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") {
            let value = value.trim_ascii_start();
            let label = match value.first() {
                Some(quote @ (b'"' | b'\'')) => {
                    let value = &value[1..];
                    &value[..value.iter().position(|byte| byte == quote)?]
                }
                _ => {
                    let ends = |byte: &u8| is_space(*byte) || *byte == b';';
                    &value[..value.iter().position(ends).unwrap_or(value.len())]
                }
            };
            return Encoding::for_label(label);
        }
    }
}

/// ASCII whitespace.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}
