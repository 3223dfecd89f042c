//! Who owns data, who is calling, and the proof that work may be done for a tenant.
//!
//! Architecture invariant: [`Scope`] has private fields, no `Default`, no `From` and no `Deserialize`. It is minted in
//! few named places, each with an [`Origin`]; clippy bans the call elsewhere, and a test lists the places. No store, file
//! or engine call is possible without one.

mod caller;
mod id;
mod scope;

pub use caller::{Caller, Proof, Role};
pub use id::{TenantId, TenantIdError};
pub use scope::{Origin, Scope};
