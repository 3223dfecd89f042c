//! A file of addresses, one on each line, as mail programs and spreadsheets write it: with a byte order mark or none, any line
//! ends, quotes, and a first line that names the column.

use std::path::Path;

use encoding_rs::{Encoding, UTF_8};

use super::import::{MOST_FAULTS, faulty};
use super::input;
use crate::domain::address;

/// The addresses of a file. The error names each line that is none.
pub(super) fn read_addresses(path: &Path) -> anyhow::Result<Vec<String>> {
    let name = input::name(path);
    let bytes = input::bytes(path, &input::LIST)?;
    let (encoding, mark) = Encoding::for_bom(&bytes).unwrap_or((UTF_8, 0));
    let (text, is_malformed) = encoding.decode_without_bom_handling(&bytes[mark..]);
    if is_malformed {
        let good = text.split('\u{fffd}').next().unwrap_or_default();
        anyhow::bail!("{name}:{}: is not {}", lines(good).count().max(1), encoding.name());
    }
    let (addresses, mut faults) = parse(&text);
    if faults.is_empty() && addresses.is_empty() {
        anyhow::bail!("{name} holds no addresses");
    }
    if faults.is_empty() {
        return Ok(addresses);
    }
    let count = faults.len();
    faults.truncate(MOST_FAULTS);
    let faults = faults.into_iter().map(|(line, what)| format!("{name}:{line}: {what}")).collect();
    Err(faulty(&format!("{name} holds what is no address, and nothing of it was added"), faults, count))
}

/// The addresses, and what is wrong with which line.
fn parse(text: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let (mut addresses, mut faults) = (Vec::new(), Vec::new());
    let mut is_first = true;
    for (n, line) in lines(text).enumerate() {
        // Spreadsheets leave separators where the cells beside are empty.
        let cell = line.trim().trim_end_matches([',', ';']).trim().trim_matches('"').trim();
        if cell.is_empty() {
            continue;
        }
        let is_header = std::mem::take(&mut is_first) && !cell.contains('@');
        match address::parse(cell) {
            Ok(_) => addresses.push(cell.to_owned()),
            Err(_) if is_header => {}
            Err(what) => faults.push((n + 1, what.to_string())),
        }
    }
    (addresses, faults)
}

/// The lines, however they end.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_a_header_and_any_line_ends_and_faults_by_their_line() {
        let wanted = ["a@b.example", "c@d.example"];
        for text in [
            "a@b.example\nc@d.example",
            "email\na@b.example\nc@d.example\n",
            "E-Mail-Adresse\r\na@b.example\r\n\r\nc@d.example\r\n",
            "\"Email\"\r\"a@b.example\"\r\"c@d.example\"\r",
            "email,\na@b.example,\n c@d.example ;\n",
        ] {
            let (addresses, faults) = parse(text);
            assert_eq!((addresses, faults), (wanted.map(str::to_owned).to_vec(), Vec::new()), "{text:?}");
        }
        let (_, faults) = parse("email\r\na@b.example\r\nnobody\r\nx@y@z\r\n");
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn a_byte_order_mark_says_what_the_file_is_written_in() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("list.txt");
        for bytes in [
            b"\xef\xbb\xbfa@b.example\n".to_vec(),
            [&b"\xff\xfe"[..], &"a@b.example\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()]
                .concat(),
        ] {
            std::fs::write(&path, bytes).expect("written");
            assert_eq!(read_addresses(&path).expect("read"), ["a@b.example"]);
        }
        std::fs::write(&path, b"a@b.example\nm\xfcller@b.example\n").expect("written");
        let error = read_addresses(&path).expect_err("no UTF-8").to_string();
        assert!(error.contains("list.txt:2: is not UTF-8"), "{error}");
    }
}
