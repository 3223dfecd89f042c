//! CSV as people have it, in and out, by the command line against a real server. What is read of which file is in
//! `tests/corpus/csv` and held by the unit tests; here it is that both ways in do so, and that what goes out comes back.

use std::path::{Path, PathBuf};

use herald::pb;

use crate::support::folder;
use crate::support::process::{Server, herald, serve};

/// A client command as that user: whether it went well, and what it said to either output.
async fn client(server: &Server, user: &str, args: &[&str]) -> (bool, String) {
    let mut command = herald();
    command.args(args).env("HERALD_SERVER", format!("http://{}", server.address)).env("HERALD_USER", user);
    let output = tokio::task::spawn_blocking(move || command.output().expect("it ends")).await.expect("no panic");
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).expect("UTF-8"))
}

/// The tenant's prospects by their addresses.
async fn prospects(server: &Server, user: &str) -> Vec<pb::Prospect> {
    let request = pb::ListProspectsRequest { view: pb::ProspectView::Full.into(), ..Default::default() };
    let list = server.user(user).await.agent.list_prospects(request).await.expect("a list");
    let mut rows = list.into_inner().prospects;
    rows.sort_by(|one, other| one.email.cmp(&other.email));
    rows
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/csv").join(name)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_in_read_what_people_have_and_say_what_they_leave_out() {
    let data = folder();
    let server = serve(data.path(), &[]);
    let mailchimp = corpus("mailchimp.csv");
    let left_out = "left out: column \"MEMBER_RATING\" has no place in a prospect";
    let run = ["campaign", "run", "--website", "https://www.example.com", "--prospects"];
    for (user, command) in [("user_a", &["prospects", "import"][..]), ("user_b", &run)] {
        let flags = ["--map", "First Name=first_name"];
        let (_, told) = client(&server, user, &[command, &[path(&mailchimp)], &flags].concat()).await;
        assert!(told.contains("1 prospect imported"), "{told}");
        assert_eq!(told.matches(left_out).count(), 1, "{told}");
        assert_eq!(prospects(&server, user).await[0].contact_name, "Kim Roth");
    }
    let german = corpus("outlook_german.csv");
    for (user, command) in [("user_c", &["prospects", "import"][..]), ("user_d", &run)] {
        let (ok, told) = client(&server, user, &[command, &[path(&german)]].concat()).await;
        assert!(!ok && told.contains(":1: column 7: is not UTF-8") && told.contains("windows-1252"), "{told}");
        let strict = [command, &[path(&german), "--encoding", "windows-1252", "--strict"]].concat();
        let (ok, told) = client(&server, user, &strict).await;
        assert!(!ok && told.contains("column \"Anrede\" has no place") && told.contains("--strict"), "{told}");
        assert!(prospects(&server, user).await.is_empty());
        client(&server, user, &[command, &[path(&german), "--encoding", "windows-1252"]].concat()).await;
        let rows = prospects(&server, user).await;
        assert_eq!((rows.len(), &*rows[0].company, &*rows[0].notes), (1, "Müller & Söhne", "Zeile 1\nZeile 2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_comes_back_as_it_was_with_and_without_excel() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let texts = [
        "=1+1",
        "+49 30 1234",
        "-1",
        "@x",
        "＝1",
        "＋1",
        "－1",
        "＠x",
        "'n Drukkery",
        "''=x",
        "'=y",
        "'",
        "x;=1",
        "x, +1",
        "x|@y",
        "x;'=1",
        "x\t=1",
        "\"=1\"",
        "; \"=1",
        "the 26\" model",
        "it's",
        "例子；＝1",
        "a=b",
    ];
    let rows = texts.iter().enumerate().map(|(n, text)| pb::Prospect {
        email: format!("p{n:02}@b.example"),
        company: (*text).to_owned(),
        notes: format!("{text}\n{text}"),
        tags: vec![(*text).replace('\t', " "), "[1]".to_owned()],
        source: if n % 2 == 0 { String::new() } else { (*text).to_owned() },
        ..Default::default()
    });
    let request = pb::BatchCreateProspectsRequest { prospects: rows.collect(), request_id: String::new() };
    server.user("user_a").await.agent.batch_create_prospects(request).await.expect("created");
    let texts = |rows: Vec<pb::Prospect>| {
        rows.into_iter().map(|row| (row.email, row.company, row.notes, row.tags, row.source)).collect::<Vec<_>>()
    };
    let wanted = texts(prospects(&server, "user_a").await);
    assert_eq!(wanted.len(), 23);
    for (user, flags) in [("user_b", &[][..]), ("user_c", &["--excel"])] {
        let file = files.path().join(format!("{user}.csv"));
        let (ok, told) = client(&server, "user_a", &[&["prospects", "export", path(&file)], flags].concat()).await;
        assert!(ok, "{told}");
        let bytes = std::fs::read(&file).expect("written");
        assert_eq!(bytes.starts_with("\u{feff}email,".as_bytes()), !flags.is_empty());
        // Whatever a program takes for the separator, no cell of it is a formula.
        for cell in String::from_utf8(bytes).expect("UTF-8").split([',', ';', '|', '\t', '\n']) {
            let begin = cell.trim_start_matches(['"', ' ']);
            assert!(!begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{cell:?}");
        }
        let (ok, told) = client(&server, user, &["prospects", "import", "--strict", path(&file)]).await;
        assert!(ok, "{told}");
        assert_eq!(texts(prospects(&server, user).await), wanted, "{flags:?}");
    }
    let (ok, told) = client(&server, "user_a", &["prospects", "export", "--format", "json", "--excel"]).await;
    assert!(!ok && told.contains("--excel is for CSV"), "{told}");
}

/// What a file would come to is told before anything of it is sent: no server is there.
#[test]
fn a_dry_run_says_what_would_be_imported() {
    let files = folder();
    let file = files.path().join("kunden.csv");
    let text = "Vor- und Zuname;E-Mail;Firma;Haarfarbe\nKim Roth;kim@acme.example;Acme;rot\n;b@beta.example;Beta;\nK. Roth;KIM@acme.example;Acme;\n";
    std::fs::write(&file, text).expect("written");
    let json = files.path().join("p.json");
    std::fs::write(&json, r#"[{"email": "a@b.example"}, {"email": "c@d.example"}, {"email": "a@b.example"}]"#)
        .expect("written");
    let told = |args: &[&str]| {
        let mut command = herald();
        command.args(["prospects", "import", "--dry-run", "--server", "http://127.0.0.1:1"]).args(args);
        let output = command.output().expect("it ends");
        let out = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        out
    };
    let expected = "column           field\nVor- und Zuname  contact_name\nE-Mail           email\nFirma            company\n\n\
        left out: column \"Haarfarbe\" has no place in a prospect\ntwice in the file, and taken once: line 4 (as line 2)\n\
        the first row is read as\n  email: kim@acme.example\n  company: Acme\n  contact_name: Kim Roth\n  source: csv import\n\
        2 prospects would be sent; 1 row is the same address again; nothing was\n";
    assert_eq!(told(&[path(&file)]), expected);
    let answer: serde_json::Value = serde_json::from_str(&told(&[path(&file), "--json"])).expect("JSON");
    assert_eq!(answer["columns"][1], serde_json::json!({ "column": "E-Mail", "field": "email" }));
    assert_eq!((&answer["prospects"], &answer["sample"]["contactName"]), (&2.into(), &"Kim Roth".into()));
    assert_eq!((&answer["rows"], &answer["leftOut"]), (&3.into(), &serde_json::json!(["Haarfarbe"])));
    assert_eq!(answer["twice"], serde_json::json!([{ "place": 4, "first": 2 }]));
    let expected = "twice in the file, and taken once: row 3 (as row 1)\nthe first row is read as\n  email: a@b.example\n\
        2 prospects would be sent; 1 row is the same address again; nothing was\n";
    assert_eq!(told(&[path(&json)]), expected);
}

/// Without --skip-broken nothing of a file is imported; with it all but the rows that have a fault, which are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_rows_are_passed_over_where_that_is_asked_for() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let csv = files.path().join("some.csv");
    let bad: String = (0..25).map(|n| format!("nobody{n},B\n")).collect();
    std::fs::write(&csv, format!("email,company\na@b.example,A\n{bad}c@d.example,C\n")).expect("written");
    let json = files.path().join("some.json");
    std::fs::write(&json, r#"[{"email": "a@b.example"}, {"email": "nobody"}, {"mail": 1}, {"email": "c@d.example"}]"#)
        .expect("written");
    let (ok, told) = client(&server, "user_a", &["prospects", "import", path(&csv)]).await;
    assert!(!ok && told.contains("and 5 more"), "{told}");
    assert!(prospects(&server, "user_a").await.is_empty());
    let (ok, told) = client(&server, "user_a", &["prospects", "import", path(&csv), "--skip-broken"]).await;
    assert!(ok && told.contains("passed over as broken: 25 rows; the first of them"), "{told}");
    assert!(
        told.contains("some.csv:3: column \"email\": must be") && told.matches("some.csv:").count() == 20,
        "{told}"
    );
    assert!(told.contains("2 prospects imported, 25 passed over as broken"), "{told}");
    assert_eq!(prospects(&server, "user_a").await.len(), 2);
    let (ok, told) = client(&server, "user_b", &["prospects", "import", path(&json), "--skip-broken"]).await;
    assert!(
        ok && told.contains("row 2: email: must be") && told.contains("row 3: ") && !told.contains("row 4"),
        "{told}"
    );
    assert_eq!(prospects(&server, "user_b").await.len(), 2);
    let dry = ["prospects", "import", path(&csv), "--skip-broken", "--dry-run"];
    let (ok, told) = client(&server, "user_c", &dry).await;
    assert!(ok && told.contains("25 rows") && told.contains("2 prospects would be sent; nothing was"), "{told}");
    std::fs::write(&csv, "email\nnobody\n").expect("written");
    let (ok, told) = client(&server, "user_c", &dry).await;
    assert!(!ok && told.contains("some.csv:2: column \"email\": must be"), "{told}");
}

/// What stands twice in the file is told apart from what the tenant has already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_stands_twice_in_the_file_is_told_by_its_line() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let (first, file) = (files.path().join("first.csv"), files.path().join("file.csv"));
    std::fs::write(&first, "email\na@b.example\n").expect("written");
    std::fs::write(&file, "email\na@b.example\nc@d.example\nC@D.example\n\na@b.example\ne@f.example\n")
        .expect("written");
    let (ok, told) = client(&server, "user_a", &["prospects", "import", path(&first)]).await;
    assert!(ok && told.ends_with("1 prospect imported\n"), "{told}");
    let (ok, told) = client(&server, "user_a", &["prospects", "import", path(&file)]).await;
    assert!(ok && told.contains("twice in the file, and taken once: line 4 (as line 3), line 6 (as line 2)"), "{told}");
    assert!(told.contains("2 prospects imported, 1 was there already, 2 twice in the file"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_file_is_told_in_a_sentence_and_nothing_of_it_is_imported() {
    let (data, files) = (folder(), folder());
    let server = serve(data.path(), &[]);
    let cell = "x".repeat(10 << 20);
    let columns = ",".repeat(1_000_000);
    let good = "email,notes\na@b.example,x\n";
    for (text, wanted) in [
        (String::new(), "bad.csv is empty"),
        ("email\r\n".to_owned(), "has a header and no prospects"),
        (format!("{good}b@b.example,{cell}\n"), "bad.csv:3: column \"notes\": the row has more than 4 MiB"),
        (format!("{good}b@b.example{columns}\n"), "bad.csv:3: column 4096: there are more than 4096 columns"),
        (format!("{good}b@b.example,\"x\n"), "bad.csv:3: column \"notes\": a quote is opened here and never closed"),
        (good.replace('\n', "\r") + "nobody,x", "bad.csv:3: column \"email\": must be an e-mail address"),
        (
            "Mail,E-Mail\na@b.example,x\n".to_owned(),
            "both for email; leave one out with --map \"Mail=\" or --map \"E-Mail=\"",
        ),
        ("Email,e-mail\na@b.example,x\n".to_owned(), "--map \"e-mail=\""),
        (
            "Email,Status\na@b.example,active\n".to_owned(),
            "must be discovered, contacted, replied or converted; or leave the column out with --map \"Status=\"",
        ),
        (
            "kim@acme.example,Acme\nlee@acme.example,Acme\n".to_owned(),
            "the first line is a row already; write the names",
        ),
        ("PK\u{3}\u{4}xl/workbook.xml".to_owned(), "bad.csv is a spreadsheet: save it as CSV there"),
    ] {
        let file = files.path().join("bad.csv");
        std::fs::write(&file, text).expect("written");
        let (ok, told) = client(&server, "user_a", &["prospects", "import", path(&file)]).await;
        assert!(!ok && told.contains(wanted) && told.len() < 1_000, "{wanted} in:\n{told}");
    }
    assert!(prospects(&server, "user_a").await.is_empty());
}

#[tokio::test]
async fn flags_that_make_no_sense_are_told() {
    let files = folder();
    let json = files.path().join("p.json");
    std::fs::write(&json, r#"[{"email": "a@b.example"}]"#).expect("written");
    for (args, wanted) in [
        (&["--map", "x=compny"][..], "\"compny\" is no field; known are email, company"),
        (&["--map", "x"], "must be COLUMN=FIELD"),
        (&["--encoding", "latin-17"], "is no encoding that is known"),
        (&["--strict"], "--encoding, --map and --strict are for CSV files"),
    ] {
        let output = herald().args(["prospects", "import", path(&json)]).args(args).output().expect("it ends");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(!output.status.success() && told.contains(wanted), "{told}");
    }
    for command in [["prospects", "import"], ["campaign", "run"]] {
        let output = herald().args(command).arg("--help").output().expect("it ends");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(["--encoding", "--map", "--strict"].iter().all(|flag| help.contains(flag)), "{help}");
    }
}
