//! Herald's tests against real servers, in one binary so that it links once. `tests/README.md` lists the suites.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    unreachable_pub,
    reason = "in tests, the first say what must hold, and what they print are counts; a support module serves its binary alone"
)]

mod admin;
mod agent;
mod audit;
mod backups;
mod cache;
mod cache_bounds;
mod cache_refusals;
mod cache_service;
mod campaigns;
mod check;
mod cli;
mod cli_json;
mod commands;
mod crashes;
mod credentials;
mod csv;
mod demo;
mod deploy;
mod due;
mod engines;
mod fairness;
mod fields;
mod files;
mod forgeries;
mod full_volume;
mod golden;
mod hostile;
mod interop;
mod isolation;
mod kills;
mod letters;
mod listing;
mod live;
mod logs;
mod mailing;
mod peers;
mod postfix;
mod private;
mod read_cache;
mod recipients;
mod refusals;
mod reviews;
mod server;
mod smtp;
mod soak;
mod structure;
mod support;
mod templates;
mod tls;
mod traces;
mod unsubscribe;
mod upgrades;
mod watching;
mod web_client;
mod websites;
