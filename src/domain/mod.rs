//! The rules, without I/O: what a campaign may do next, what a good address is, how a page token is read.
//!
//! Everything here is pure. Time and randomness come in as [`clock::Clock`] and [`clock::Random`]; nothing here runs SQL,
//! answers a call or opens a file. What is stored as it stands here says so: the names of enums are values of columns, some
//! structs are columns of JSON, and SQL computes [`reply::Engagement`] a second time, to filter by it.

pub mod address;
pub mod agent_config;
pub mod calendar;
pub mod campaign;
pub mod clock;
pub mod delivery;
pub mod digest;
pub mod email;
pub mod error;
pub mod event;
pub mod fair_queue;
pub mod finding;
pub mod id;
pub mod json;
pub mod language;
pub mod letter;
pub mod letterhead;
pub mod link;
pub mod mailbox;
pub mod mask;
pub mod named_enum;
pub mod names;
pub mod number;
pub mod pace;
pub mod paging;
pub mod prospect;
pub mod ranking;
pub mod recipients;
pub mod reply;
pub mod reputation;
pub mod salutation;
pub mod state;
pub mod strategy;
pub mod suppression;
pub mod template;
pub mod text;
pub mod website;
