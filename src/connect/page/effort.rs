//! What reading one page may take: one deadline over all of it, a number of steps, and the end of whoever asked for it.

use std::time::{Duration, Instant};

/// What is left of it.
pub(super) struct Effort<'a> {
    deadline: Instant,
    /// A step is about a node that is looked at.
    steps: usize,
    /// Whether nobody wants the page any more.
    ended: &'a dyn Fn() -> bool,
    /// The steps since the deadline was looked at.
    unlooked: usize,
    over: bool,
}

const TIME: Duration = Duration::from_secs(2);
const STEPS: usize = 4_000_000;
/// Looking at the clock costs as much as some steps.
const LOOK_EVERY: usize = 1_000;

impl<'a> Effort<'a> {
    pub(super) fn new(ended: &'a dyn Fn() -> bool) -> Self {
        Self { deadline: Instant::now() + TIME, steps: STEPS, ended, unlooked: 0, over: false }
    }

    /// Whether there was not enough of it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes so many steps; false if there are none left.
    pub(super) fn spend(&mut self, steps: usize) -> bool {
        self.unlooked += steps;
        self.steps = self.steps.saturating_sub(steps);
        if self.unlooked >= LOOK_EVERY {
            self.unlooked = 0;
            self.over |= Instant::now() >= self.deadline || (self.ended)();
        }
        self.over |= self.steps == 0;
        !self.over
    }
}
