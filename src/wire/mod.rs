//! What is looked at in a call's message before anything is decoded.
//!
//! A few megabytes of protobuf can say millions of empty rows, which decoded take a hundred times as much. So a message is
//! read whole into its bytes first, against a budget ([`frame`]); its elements are then counted, and its texts looked at,
//! where they stand in those bytes ([`Shapes::check`]). What it may hold is said by the protos: the options `max_elements`
//! and `opaque` of each field ([`shape`]). A field that is added there is covered by being there.

mod check;
mod frame;
mod shape;

pub use check::{Checked, MAX_ELEMENTS};
pub use frame::{FrameError, HEADER, read_frame};
pub use shape::{ShapeError, Shapes};
