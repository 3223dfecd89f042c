use std::fmt::Write as _;
use std::path::Path;

use clap::Parser;
use proptest::prelude::*;

use super::*;

/// The flags as a person gives them.
#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    csv: CsvArgs,
}

fn args(flags: &[&str]) -> CsvArgs {
    Flags::try_parse_from([&["herald"], flags].concat()).unwrap_or_else(|error| panic!("{error}")).csv
}

/// The rows of a file and what is left out of it, or why it is refused.
fn read_with(bytes: &[u8], flags: &[&str]) -> Result<(Vec<pb::Prospect>, String), String> {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("p.csv");
    std::fs::write(&path, bytes).expect("written");
    let told = |error: anyhow::Error| format!("{error:#}").replace(&dir.path().display().to_string(), "");
    let (source, args) = (Source::of(&path).map_err(told)?, args(flags));
    let csv = ProspectsCsv::check(&source, &args).map_err(told)?;
    let mut batches = Batches::open(&source, &args).map_err(told)?;
    let mut rows = Vec::new();
    while let Some(batch) = batches.next().map_err(told)? {
        rows.extend(batch);
    }
    assert_eq!(rows.len() as u64, csv.rows.count);
    Ok((rows, csv.notes().join("\n")))
}

fn read(bytes: impl AsRef<[u8]>) -> Vec<pb::Prospect> {
    read_with(bytes.as_ref(), &[]).unwrap_or_else(|told| panic!("{told}")).0
}

fn refused(bytes: impl AsRef<[u8]>) -> String {
    read_with(bytes.as_ref(), &[]).expect_err("it is refused")
}

/// Address, company, name and notes of each.
fn told(rows: &[pb::Prospect]) -> Vec<[&str; 4]> {
    rows.iter().map(|row| [&*row.email, &row.company, &row.contact_name, &row.notes]).collect()
}

#[test]
fn a_good_file_is_counted() {
    let text = "\u{feff}email,Company,tags\r\na@example.com,\"Acme, Inc\",x;y\r\n\r\nb@example.com,,\r\n";
    assert_eq!(read(text).len(), 2);
}

#[test]
fn separators_are_found_by_looking() {
    let wanted = vec![["kim@acme.example", "Acme, Inc; Co\t", "Kim Roth", ""].map(str::trim)];
    for separator in [",", ";", "\t", "|"] {
        let lines = ["email|company|contact_name", "kim@acme.example|\"Acme, Inc; Co\"|Kim Roth"].join("\n");
        assert_eq!(told(&read(lines.replace('|', separator))), wanted, "{separator:?}");
        let hint = format!("sep={separator}\r\n{}", lines.replace('|', separator));
        assert_eq!(told(&read(hint)), wanted, "{separator:?}");
    }
    // Where the header holds several, the one that makes more names of it; within quotes none does.
    assert_eq!(read("email;company;\"a,b,c,d,e\"\na@example.com;A;x\n")[0].company, "A");
    assert_eq!(read("email,company,a;b;c;d\na@example.com,A,x\n")[0].company, "A");
    assert_eq!(read("\"email;x\",company,email\nx,A,a@example.com\n")[0].company, "A");
    assert_eq!(read("email\na@example.com\nb@example.com").len(), 2);
}

#[test]
fn lines_end_as_they_like() {
    let wanted = [["a@b.example", "A", "", "x\ny"], ["c@d.example", "C", "", "z"]];
    for end in ["\n", "\r\n", "\r"] {
        for last in ["", end, "\n\n", "\r\r"] {
            let text = ["email,company,notes", "a@b.example,A,\"x|y\"", "c@d.example,C,z"].join("|");
            assert_eq!(told(&read(text.replace('|', end) + last)), wanted, "{end:?} {last:?}");
        }
    }
    assert_eq!(told(&read("email,company,notes\ra@b.example,A,\"x\r\ny\"\r\nc@d.example,C,z\n")), wanted);
    let bad = ["email,notes", "a@b.example,\"x|y\"", "", "nobody,x"].join("|");
    for end in ["\n", "\r\n", "\r"] {
        assert!(refused(bad.replace('|', end)).contains("/p.csv:5: column \"email\": must be"), "{end:?}");
    }
}

#[test]
fn empty_columns_and_rows_are_passed_over() {
    let (rows, left_out) =
        read_with(b"email,company,,,\r\nkim@acme.example,Acme,,,\r\n,,,,\r\n , ,\r\n", &["--strict"]).expect("read");
    assert_eq!((told(&rows), left_out), (vec![["kim@acme.example", "Acme", "", ""]], String::new()));
    // Ends of lines that are missing, or one too many.
    assert_eq!(read("email,company,\na@b.example,A\nc@d.example,C,,,\n").len(), 2);
    let (_, left_out) = read_with(b"email,company,\na@b.example,A,x\n", &[]).expect("read");
    assert_eq!(left_out, "left out: column 3 has no place in a prospect");
    let told = read_with(b"email,company,\na@b.example,A,x\n", &["--strict"]).expect_err("it is strict");
    assert!(told.contains("column 3 has no place in a prospect, and --strict is given"), "{told}");
}

#[test]
fn quotes_within_a_cell_are_characters() {
    let rows = read("email,company,notes\nkim@acme.example,Acme,wants the 26\" model\nlee@acme.example,Beta,none\n");
    assert_eq!(rows[0].notes, "wants the 26\" model");
    assert_eq!(rows.len(), 2);
    assert_eq!(
        read("email,notes\na@b.example,\"two \"\"quotes\"\" and\na line\"\n")[0].notes,
        "two \"quotes\" and\na line"
    );
    assert_eq!(read("email,company\na@b.example,\"Acme\" GmbH\n")[0].company, "Acme GmbH");
    assert_eq!(read("email,notes\na@b.example,\"one\ntwo\"  \n")[0].notes, "one\ntwo");
}

#[test]
fn a_quote_that_is_never_closed_is_told_and_loses_no_row() {
    let told = refused("email,company,notes\nq1@b.example,A,\"unclosed\nq2@b.example,B,x\nq3@b.example,C,x\n");
    assert!(told.contains("/p.csv:2: column \"notes\": a quote is opened here and never closed"), "{told}");
    let told = refused("email,company,notes\nq1@b.example,A,x\nq2@b.example,B,\"open");
    assert!(told.contains("/p.csv:3: column \"notes\": a quote is opened here and never closed"), "{told}");
    let told = refused("email,company,notes\nq1@b.example,A,\"open\nq2@b.example,\"B\",x\n");
    assert!(told.contains("/p.csv:2: column \"notes\": a quote is opened here and closed on line 3"), "{told}");
}

#[test]
fn faults_are_told_by_line_and_column() {
    let long = "x".repeat(201);
    let text = format!(
        "email,company,language\na@example.com,A,en\nnobody,B,en\nc@example.com,{long},old english\nd@example.com,D\n"
    );
    let told = refused(&text);
    for fault in [
        "nothing of it was",
        "/p.csv:3: column \"email\": must be an e-mail address",
        "/p.csv:4: column \"company\": must be at most 200 characters",
        "/p.csv:4: column \"language\": must be an IETF language tag",
        "/p.csv:5: has 2 fields, the header 3",
    ] {
        assert!(told.contains(fault), "{fault} in:\n{told}");
    }
    // In the order of their lines, also the one behind which nothing can be read.
    let two = refused("email,notes\nnobody,x\na@b.example,\"y\n");
    assert!(two.find("/p.csv:2:") < two.find("/p.csv:3:") && two.contains("never closed"), "{two}");
    let title = refused("Our customers,,\n\nemail,company,notes\na@b.example,A,x\n");
    assert!(title.contains("take the lines above the names of the columns out"), "{title}");
    // The same with CRLF and with the empty rows that spreadsheets leave.
    assert_eq!(refused(text.replace('\n', "\r\n")), told);
    let rows = refused("email,company\r\n,\r\nnobody,\r\n,,\r\n");
    assert!(rows.contains("p.csv:3: column \"email\"") && !rows.contains("p.csv:4"), "{rows}");
    // A cell behind line breaks is told by its own line, and by the name that its file has for it.
    let cell = refused("E-Mail,Notizen,Sprache\na@b.example,\"x\ny\nz\",old english\n");
    assert!(cell.contains("/p.csv:4: column \"Sprache\": must be an IETF"), "{cell}");
    let joined = refused(format!("email,First Name,Last Name\na@b.example,{long},x\n"));
    assert!(joined.contains("/p.csv:2: columns \"First Name\" and \"Last Name\": must be at most"), "{joined}");
}

#[test]
fn many_faults_are_counted_after_the_first_twenty() {
    let told = refused(format!("email\n{}", "bad\n".repeat(30)));
    assert!(told.ends_with("and 10 more"), "{told}");
    assert_eq!(told.matches("p.csv:").count(), 20);
}

#[test]
fn encodings_are_read_by_their_mark_or_their_name() {
    let text = "email,company\r\na@b.example,Müller – 例\n";
    let utf16 = |order: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}{text}").encode_utf16().flat_map(order).collect()
    };
    for order in [u16::to_le_bytes, u16::to_be_bytes] {
        assert_eq!(read(utf16(order, "\u{feff}"))[0].company, "Müller – 例");
        let told = refused(utf16(order, ""));
        assert!(
            told.contains("/p.csv:1: column 1: holds a zero byte") && told.contains("--encoding utf-16le"),
            "{told}"
        );
    }
    for (label, order) in [("utf-16", u16::to_le_bytes as fn(u16) -> [u8; 2]), ("UTF-16BE", u16::to_be_bytes)] {
        let (rows, _) = read_with(&utf16(order, ""), &["--encoding", label]).expect("read");
        assert_eq!(rows[0].company, "Müller – 例", "{label}");
    }
    let western = b"email,company\na@b.example,A\nb@b.example,caf\xe9 \x96 \x80\n";
    let told = refused(western);
    assert_eq!(
        told,
        "/p.csv:3: column \"company\": is not UTF-8; if the file comes from an older Windows program, add --encoding windows-1252 \
         for Western Europe, gb18030 or big5 for Chinese, shift_jis for Japanese, euc-kr for Korean, windows-1251 for Cyrillic"
    );
    let (rows, _) = read_with(western, &["--encoding", "windows-1252"]).expect("read");
    assert_eq!(rows[1].company, "café – €");
    for label in ["gb18030", "big5", "shift_jis", "euc-kr", "windows-1251"] {
        assert!(told.contains(label) && decode::encoding(label).is_ok(), "{label} is named and taken");
    }
    let (gbk, _, _) = encoding_rs::GBK.encode("邮箱,公司\na@b.example,青禾\n");
    assert_eq!(read_with(&gbk, &["--encoding", "gbk"]).expect("read").0[0].company, "青禾");
    let told = read_with(b"email,company\na@b.example,\x81\x20\n", &["--encoding", "gbk"]).expect_err("no GBK");
    assert!(told.contains("/p.csv:2: column \"company\": is not GBK"), "{told}");
    // In columns that are left out, and at the end of the file.
    assert!(refused(b"email,x\na@b.example,\xff\n").contains("/p.csv:2: column \"x\": is not UTF-8"));
    assert!(refused(b"email,notes\na@b.example,\"x\ny\xc3").contains("never closed"));
    assert!(refused(b"email,notes\na@b.example,\"x\ny\xc3\"").contains("/p.csv:3: column \"notes\": is not UTF-8"));
    assert!(refused(b"e-m\xe4il\n").contains("/p.csv:1: column 1: is not UTF-8"));
    assert!(Flags::try_parse_from(["herald", "--encoding", "latin-17"]).is_err());
}

#[test]
fn columns_are_known_by_their_usual_names() {
    for (header, row, email, company, name) in [
        ("E-Mail-Adresse;Firma;Vorname;Nachname", "k@a.example;Acme;Kim;Roth", "k@a.example", "Acme", "Kim Roth"),
        ("邮箱,公司,姓,名", "k@a.example,青禾,王,伟", "k@a.example", "青禾", "王伟"),
        ("邮箱,公司,姓,名", "k@a.example,Acme,Roth,Kim", "k@a.example", "Acme", "Kim Roth"),
        ("FIRST NAME,LAST NAME,E-mail Address,Account Name", "伟,王,k@a.example,A", "k@a.example", "A", "王伟"),
        ("lastName,firstName,email,companyName", "Roth,,k@a.example,A", "k@a.example", "A", "Roth"),
        ("Name,Given Name,Family Name,E-mail 1 - Value", ",Kim,Roth,k@a.example", "k@a.example", "", "Kim Roth"),
        ("Name,Given Name,Family Name,E-mail 1 - Value", "K. R.,Kim,Roth,k@a.example", "k@a.example", "", "K. R."),
    ] {
        let rows = read(format!("{header}\n{row}\n"));
        assert_eq!(told(&rows), [[email, company, name, ""]], "{header}");
    }
    let rows = read(
        "Email,Title,Job Title,City,Country,State,Website,# Employees\nk@a.example,Dr.,CEO,Bonn,Germany,,acme.example,11-50\n",
    );
    assert_eq!((&*rows[0].position, &*rows[0].location), ("CEO", "Bonn, Germany"));
    assert_eq!((&*rows[0].source_url, &*rows[0].business_size), ("https://acme.example", "11-50"));
    let two = "Email,City,Country,Company City,Company Country\nk@a.example,,Italy,Bonn,Germany\nl@a.example,Rome,Italy,Bonn,\n";
    assert_eq!(read(two).iter().map(|row| &*row.location).collect::<Vec<_>>(), ["Bonn, Italy", "Rome, Italy"]);
    let flags = ["--map", "City=location", "--map", "Company City=location"];
    assert_eq!(read_with(two.as_bytes(), &flags).expect("read").0[1].location, "Rome, Bonn");
    assert_eq!(read("Email,Title\nk@a.example,CEO\n")[0].position, "CEO");
    let (rows, left_out) =
        read_with(b"Email,Domain,Company Domain Name\nk@a.example,a.example,b.example\n", &[]).expect("read");
    assert_eq!(rows[0].source_url, "https://a.example");
    assert_eq!(left_out, "left out: column \"Company Domain Name\" has no place in a prospect");
}

#[test]
fn a_language_is_taken_by_its_name_too() {
    for (written, tag) in [
        ("Deutsch", "de"),
        ("german", "de"),
        ("English", "en"),
        ("FRANÇAIS", "fr"),
        ("中文", "zh"),
        ("Chinese (Simplified)", "zh-Hans"),
        ("日本語", "ja"),
        ("हिन्दी", "hi"),
        ("de_AT", "de-AT"),
        ("pt-BR", "pt-BR"),
        ("", ""),
    ] {
        assert_eq!(read(format!("email,Sprache\na@b.example,{written}\n"))[0].language, tag, "{written}");
    }
    let told = refused("email,Sprache\na@b.example,sehr gut\n");
    assert!(told.contains("/p.csv:2: column \"Sprache\": must be an IETF language tag such as en or zh-CN"), "{told}");
}

/// No name is of two languages, and each is compared as the letters of what a cell holds are.
#[test]
fn each_language_has_names_of_its_own() {
    let names: Vec<_> = languages::LANGUAGES.iter().flat_map(|(_, names)| names.split(' ')).collect();
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
    for name in names {
        assert_eq!(letters::letters(name), name);
    }
}

#[test]
fn what_has_no_place_is_left_out_and_told_or_refused() {
    let file =
        b"\"Email Address\",\"First Name\",\"Last Name\",MEMBER_RATING,NOTES,TAGS\nkim@acme.example,Kim,Roth,4,,\n";
    let (rows, left_out) = read_with(file, &[]).expect("read");
    assert_eq!(told(&rows), [["kim@acme.example", "", "Kim Roth", ""]]);
    assert_eq!(left_out, "left out: column \"MEMBER_RATING\" has no place in a prospect");
    let told = read_with(file, &["--strict"]).expect_err("it is strict");
    assert!(told.contains("/p.csv:1: column \"MEMBER_RATING\" has no place in a prospect, and --strict"), "{told}");
    let (_, left_out) = read_with(file, &["--strict", "--map", "MEMBER_RATING="]).expect("said to be left out");
    assert_eq!(left_out, "");
    let many = (0..30).fold("email".to_owned(), |mut all, n| {
        write!(all, ",x{n}").expect("written");
        all
    });
    let (_, left_out) = read_with(format!("{many}\na@b.example{}\n", ",".repeat(30)).as_bytes(), &[]).expect("read");
    assert!(left_out.contains("\"x19\" and 10 more have no place"), "{left_out}");
}

#[test]
fn columns_go_where_the_person_says() {
    let (rows, left_out) = read_with(
        b"Mail;Their Column;Account;a=b\nk@a.example;Acme;Other;x\n",
        &["--map", "Their Column=company", "--map", "a=b=notes"],
    )
    .expect("read");
    assert_eq!(told(&rows), [["k@a.example", "Acme", "", "x"]]);
    assert_eq!(left_out, "left out: column \"Account\" has no place in a prospect");
    let (rows, _) =
        read_with(b"who;x;Rufname\na@b.example;Roth;Kim\n", &["--map", "WHO=email", "--map", "x=last_name"])
            .expect("read");
    assert_eq!(told(&rows), [["a@b.example", "", "Kim Roth", ""]]);
    for (file, flags, what) in [
        (
            "email,x\n",
            &["--map", "y=company"][..],
            "names the column \"y\", which is not there; there are \"email\", \"x\"",
        ),
        ("email,x\n", &["--map", "x=company", "--map", "x=notes"], "\"x\" more than once"),
        (
            "email,x,y\n",
            &["--map", "x=company", "--map", "y=company"],
            "columns 2 (\"x\") and 3 (\"y\") are both for company",
        ),
        ("email,Company,Account\n", &[], "columns 2 (\"Company\") and 3 (\"Account\") are both for company"),
        ("email,email\n", &[], "are both for email; give one of them another name in the file"),
        ("kim@acme.example,Acme\n", &[], "no column \"email\": the first line is a row already"),
        ("company\nA\n", &[], "no column \"email\""),
    ] {
        let told = read_with(file.as_bytes(), flags).expect_err("refused");
        assert!(told.starts_with("/p.csv:1: ") && told.contains(what), "{told}");
    }
    let Err(error) = Flags::try_parse_from(["herald", "--map", "x=compny"]) else { panic!("no such field") };
    assert!(error.to_string().contains("\"compny\" is no field; known are email, company, contact_name"), "{error}");
    assert!(Flags::try_parse_from(["herald", "--map", "company"]).is_err());
    assert!(refused("").contains("/p.csv is empty"));
    assert!(refused("\r\n\r\n").contains("/p.csv is empty"));
    assert!(refused("email\n").contains("no prospects"));
}

#[test]
fn large_files_are_bounded_before_they_take_memory() {
    let cell = "x".repeat(10 << 20);
    assert!(
        refused(format!("email,x\na@b.example,{cell}\n"))
            .contains("/p.csv:2: column \"x\": the row has more than 4 MiB")
    );
    assert!(refused(format!("email,{cell}\n")).contains("/p.csv:1: column 2: the row has more than 4 MiB"));
    let quoted = refused(format!("email,x\na@b.example,\"{}\n", "x\n".repeat(5 << 20)));
    assert!(quoted.contains("/p.csv:2: column \"x\": a quote is opened here, and not closed within 4 MiB"), "{quoted}");
    for separator in [",", ";", "\t"] {
        let header = refused(format!("email{}\n", format!("{separator}company").repeat(1_000_000)));
        assert!(header.contains("/p.csv:1: column 4096: there are more than 4096 columns"), "{header}");
        let row = refused(format!("email{separator}x\na@b.example{}\n", separator.repeat(1_000_000)));
        assert!(row.contains("/p.csv:2: column 4096: there are more than 4096 columns"), "{row}");
    }
}

/// What stands in `tests/corpus/csv`: files as people have them, each with the right answer beside.
#[test]
fn the_corpus_is_read_as_a_person_would() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/csv");
    let files = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "csv")).collect();
    assert!(files.len() >= 19, "the files are found");
    for file in files {
        let answer = std::fs::read(file.with_extension("json")).expect("an answer");
        let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
        let flags: Vec<_> =
            answer["flags"].as_array().into_iter().flatten().map(|flag| flag.as_str().expect("a text")).collect();
        let found = read_with(&std::fs::read(&file).expect("bytes"), &flags);
        let Some(rows) = answer["rows"].as_array() else {
            let told = found.expect_err("refused");
            assert!(told.contains(answer["refused"].as_str().expect("a text")), "{}: {told}", file.display());
            continue;
        };
        let (found, left_out) = found.unwrap_or_else(|told| panic!("{}: {told}", file.display()));
        let has_source = rows.iter().any(|row| row.get("source").is_some());
        let wanted = rows.iter().map(|row| {
            let row = pb::from_json::<pb::Prospect>("herald.v1.Prospect", row.clone()).expect("a prospect");
            if has_source { row } else { pb::Prospect { source: "csv import".to_owned(), ..row } }
        });
        assert_eq!(found, wanted.collect::<Vec<_>>(), "{}", file.display());
        assert_eq!(left_out, answer["leftOut"].as_str().unwrap_or_default(), "{}", file.display());
    }
}

/// A prospect as a server may have it, with these texts.
fn prospect(texts: &[String], tags: &[String]) -> pb::Prospect {
    let line = |n: usize| texts[n].replace(['\n', '\t'], " ").trim().to_owned();
    let tags = tags.iter().map(|tag| tag.replace(['\n', '\t'], " ").trim().to_owned());
    pb::Prospect {
        email: "a@b.example".to_owned(),
        company: line(0),
        contact_name: line(1),
        position: line(2),
        location: line(3),
        source: line(4),
        notes: texts[5].trim().to_owned(),
        discovery_context: texts[6].trim().to_owned(),
        tags: tags.filter(|tag| !tag.is_empty()).collect(),
        status: pb::ProspectStatus::Contacted.into(),
        ..Default::default()
    }
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_as_it_was(
        texts in prop::collection::vec("([^\\p{Cc}]|[\n\t '\"=+@;,|＝＋－＠-]|'{1,3}[=+@-]|[;,] ?'?[=+@-]){0,20}", 7),
        tags in prop::collection::vec("([^\\p{Cc}]|[ '\"=+@;,\\[\\]-]){0,6}", 0..4),
        for_excel: bool,
    ) {
        // What the server stores another way is no text that it could give out.
        let texts: Vec<_> = texts.iter().map(|text| crate::domain::text::clean(text).into_owned()).collect();
        let tags: Vec<_> = tags.iter().map(|tag| crate::domain::text::clean(tag).into_owned()).collect();
        let row = prospect(&texts, &tags);
        let mut file = Vec::new();
        let mut writer = CsvWriter::new(&mut file, for_excel).expect("begun");
        writer.write(&row).expect("written");
        writer.finish().expect("finished");
        prop_assert_eq!(file.starts_with("\u{feff}".as_bytes()), for_excel);
        let (rows, left_out) = read_with(&file, &["--strict"]).expect("read");
        prop_assert_eq!((rows, left_out), (vec![row], String::new()));
    }
}
