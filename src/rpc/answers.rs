//! What answers may take while they are made.
//!
//! What is answered is bounded, but it takes several times its bytes until it is written: as rows or JSON, as messages, as
//! their bytes. So an answer that is large has one of a few places, of which each tenant has one, from before it is made
//! until it is written; small ones wait for nobody.

use std::sync::Arc;

use tonic::Response;

use crate::budget::{CACHE_READS, CACHE_READS_PER_TENANT, LARGE_ANSWERS};
use crate::call::Made;
use crate::tenant::TenantId;
use crate::turns::{Turn, Turns};

/// The places, and the largest answer; cheap to clone.
#[derive(Clone)]
pub struct Answers {
    /// In bytes.
    pub(super) max: usize,
    large: Arc<Turns>,
    cache_reads: Arc<Turns>,
}

impl Answers {
    pub fn new(max: usize) -> Self {
        let cache_reads = Turns::new(CACHE_READS, CACHE_READS_PER_TENANT, true);
        Self { max, large: Turns::new(LARGE_ANSWERS, 1, true), cache_reads }
    }

    /// A place among the large answers.
    pub(super) async fn large(&self, tenant: &TenantId) -> Turn {
        self.large.take(tenant).await
    }

    /// A place among those who read values of a cache, whose size nobody knows before.
    pub(super) async fn cache_read(&self, tenant: &TenantId) -> Turn {
        self.cache_reads.take(tenant).await
    }
}

/// The answer of about `size` bytes, which holds its place until it is written.
pub(super) fn made<M>(message: M, size: usize, place: Option<Turn>) -> Response<M> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(Made { size, _place: place.map(Arc::new) });
    response
}
