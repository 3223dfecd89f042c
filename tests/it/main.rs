//! Herald's tests against real servers, in one binary so that it links once. `tests/README.md` lists the suites.

mod campaigns;
mod cli;
mod crashes;
mod fairness;
mod interop;
mod isolation;
mod refusals;
mod server;
mod structure;
mod support;
mod watching;
