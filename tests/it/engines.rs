//! Both engines: PostgreSQL takes every text, and has the schema that SQLite has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use herald::store::sql::Text;
use herald::store::{system_texts, tenant_texts};

use crate::support::postgres::Postgres;

/// What SQLite's types are called in PostgreSQL.
const TYPES: [(&str, &str); 3] = [("TEXT", "text"), ("INTEGER", "bigint"), ("BLOB", "bytea")];

#[test]
fn postgres_prepares_every_text() {
    let postgres = migrated();
    let texts = texts();
    let mut script = String::new();
    for (n, text) in texts.iter().enumerate() {
        writeln!(script, "\\warn {}\nPREPARE text_{n} AS {};", text.name, text.postgres).expect("a text");
    }
    script.push_str("SELECT count(*) FROM pg_prepared_statements;\n");
    let printed = postgres.psql(&script);
    // Each name stands before what is wrong with its text.
    let told = printed.err.lines().collect::<Vec<_>>();
    let names: BTreeSet<_> = texts.iter().map(|text| text.name).collect();
    let wrong: Vec<_> = told.chunk_by(|_, line| !names.contains(line)).filter(|lines| lines.len() > 1).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(printed.out.trim(), texts.len().to_string(), "each is prepared");
}

/// A text that is declared and not registered would be neither prepared nor planned by any test.
#[test]
fn every_text_that_is_declared_is_registered() {
    let mut declared = Vec::new();
    for (path, source) in crate::structure::sources("src") {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for block in code.split("tenant_sql! {\n").skip(1).chain(code.split("system_sql! {\n").skip(1)) {
            let block = block.split("\n}\n").next().unwrap_or_default();
            let names = block.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(" ="));
            let constant = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            declared.extend(names.map(|(name, _)| name).filter(constant).map(|name| (name.to_owned(), path.clone())));
        }
    }
    let mut registered: Vec<_> = texts().iter().map(|text| text.name.to_owned()).collect();
    let mut names: Vec<_> = declared.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    registered.sort();
    assert_eq!(names, registered, "name its module's REGISTERED in store/mod.rs: {declared:?}");
}

#[test]
fn both_schemas_have_the_same_columns_keys_and_indexes() {
    let (sqlite, postgres) = (sqlite_schema(), postgres_schema(&migrated()));
    for (what, lines) in &sqlite {
        assert_eq!(postgres.get(what), Some(lines), "{what}");
    }
    assert_eq!(sqlite.len(), postgres.len(), "{:?}", postgres.keys());
}

fn texts() -> Vec<Text> {
    let of_tenants = tenant_texts().into_iter().map(|sql| sql.0);
    of_tenants.chain(system_texts().into_iter().map(|sql| sql.0)).collect()
}

/// A server with Herald's schema.
fn migrated() -> Postgres {
    let postgres = Postgres::start();
    for script in migrations("migrations/postgres") {
        let printed = postgres.psql(&script);
        assert!(printed.err.is_empty(), "{}", printed.err);
    }
    postgres
}

fn migrations(folder: &str) -> Vec<String> {
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().map(|file| file.path()).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read_to_string(file).expect("a migration")).collect()
}

/// A line for each column of each table, its key and its indexes, in the words of PostgreSQL.
type Schema = BTreeMap<String, BTreeSet<String>>;

fn sqlite_schema() -> Schema {
    let database = rusqlite::Connection::open_in_memory().expect("a database");
    for script in migrations("migrations/sqlite") {
        database.execute_batch(&script).expect("applied");
    }
    let mut schema = Schema::new();
    let columns = "SELECT s.name, c.name, c.type, c.\"notnull\" OR c.pk, coalesce(c.dflt_value, ''), c.pk
        FROM sqlite_schema s JOIN pragma_table_info(s.name) c WHERE s.type = 'table'";
    let mut statement = database.prepare(columns).expect("a text");
    let mut rows = statement.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let get = |n: usize| row.get::<_, String>(n).expect("a text");
        let (not_null, key): (bool, i64) = (row.get(3).expect("a flag"), row.get(5).expect("a number"));
        let (_, kind) = TYPES.iter().find(|(sqlite, _)| *sqlite == get(2)).expect("a type");
        let line = format!("{} {kind} not_null={not_null} default={} key={key}", get(1), get(4));
        schema.entry(get(0)).or_default().insert(line);
    }
    let indexes = "SELECT s.tbl_name, s.name, l.\"unique\", group_concat(i.name, ','), coalesce(s.sql, '')
        FROM sqlite_schema s
        JOIN pragma_index_list(s.tbl_name) l ON l.name = s.name
        JOIN pragma_index_info(s.name) i
        WHERE s.type = 'index' AND l.origin = 'c' GROUP BY s.name";
    let mut statement = database.prepare(indexes).expect("a text");
    let mut rows = statement.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let get = |n: usize| row.get::<_, String>(n).expect("a text");
        let unique: bool = row.get(2).expect("a flag");
        let partial = get(4).contains("WHERE");
        let line = format!("{} unique={unique} partial={partial} on {}", get(1), get(3));
        schema.entry(get(0)).or_default().insert(line);
    }
    schema
}

fn postgres_schema(postgres: &Postgres) -> Schema {
    let columns = "SELECT c.table_name, c.column_name || ' ' || c.data_type || ' not_null='
            || CASE c.is_nullable WHEN 'NO' THEN 'true' ELSE 'false' END
            || ' default=' || coalesce(split_part(c.column_default, '::', 1), '')
            || ' key=' || coalesce(k.ordinal_position, 0)
            || CASE WHEN c.data_type = 'text' AND c.collation_name IS DISTINCT FROM 'C' THEN ' not sorted by bytes' ELSE '' END
        FROM information_schema.columns c
        LEFT JOIN information_schema.table_constraints t
            ON t.table_name = c.table_name AND t.constraint_type = 'PRIMARY KEY' AND t.table_schema = 'public'
        LEFT JOIN information_schema.key_column_usage k
            ON k.constraint_name = t.constraint_name AND k.column_name = c.column_name
        WHERE c.table_schema = 'public';";
    let indexes = "SELECT t.relname, i.relname || ' unique=' || x.indisunique || ' partial=' || (x.indpred IS NOT NULL)
            || ' on ' || (SELECT string_agg(a.attname, ',' ORDER BY n) FROM unnest(x.indkey) WITH ORDINALITY u(c, n)
                JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.c)
        FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        WHERE t.relnamespace = 'public'::regnamespace
          AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = x.indexrelid AND c.contype IN ('p', 'u'));";
    let mut schema = Schema::new();
    for query in [columns, indexes] {
        let printed = postgres.psql(query);
        assert!(printed.err.is_empty(), "{}", printed.err);
        for line in printed.out.lines() {
            let (table, line) = line.split_once('|').expect("two columns");
            schema.entry(table.to_owned()).or_default().insert(line.to_owned());
        }
    }
    schema
}
