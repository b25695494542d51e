//! What a worker counts while somebody looks: names and clients, for `dns64ctl top`.
//!
//! Where nobody looks a worker pays one branch a query. A counting ends by itself when its time is
//! up, whether the one who has asked for it still waits or not, and its memory goes back to where
//! it came from.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::datagram::Datagram;
use crate::engine::{Engine, Verdict};
use crate::time::Moment;
use crate::top::{Outcome, Tally};
use crate::transport::task_inbox::TaskSender;
use crate::wire::Rcode;

/// Those who may look at a time.
pub const COUNTINGS_MAX: usize = 4;

/// The order to count.
#[derive(Debug)]
pub struct Counting {
    /// What is filled. Made by whoever asks, so that the worker allocates nothing.
    pub tally: Box<Tally>,
    /// For how long, from the moment on at which the worker hears of it.
    pub lasts: Duration,
    /// Gets the tally when it is done.
    pub done: TaskSender<Box<Tally>>,
}

impl Counting {
    /// Gives the tally to whoever has asked for it.
    fn give_back(mut self, now: Moment) {
        self.tally.end(now);
        // There is a place in it for each worker, or nobody waits any more.
        let _gone = self.done.try_send(self.tally);
    }
}

/// What a worker counts now.
#[derive(Debug)]
pub struct Countings(Vec<Counting>);

impl Default for Countings {
    /// Nothing.
    fn default() -> Self {
        Self(Vec::with_capacity(COUNTINGS_MAX))
    }
}

impl Countings {
    /// Begins one more. Where there are [`COUNTINGS_MAX`] already, the oldest ends.
    pub fn begin(&mut self, mut order: Counting, now: Moment) {
        if self.0.len() >= COUNTINGS_MAX {
            self.0.remove(0).give_back(now);
        }
        order.tally.begin(now, order.lasts);
        self.0.push(order);
    }

    /// A client has asked, and the engine has decided.
    #[inline]
    pub fn asked(&mut self, engine: &Engine, query: Datagram<'_>, verdict: Verdict, now: Moment) {
        if !self.0.is_empty() {
            self.count(engine, query, verdict, now);
        }
    }

    #[inline(never)]
    fn count(&mut self, engine: &Engine, query: Datagram<'_>, verdict: Verdict, now: Moment) {
        let outcome = match verdict {
            Verdict::Drop(_) => Outcome::Dropped,
            Verdict::Reply { .. } if engine.reply_note().rcode == Rcode::REFUSED => {
                Outcome::Refused
            }
            Verdict::Reply { .. } | Verdict::Pending => Outcome::Served,
        };
        for counting in &mut self.0 {
            counting.tally.count(query, outcome, now);
        }
    }

    /// When the next one ends.
    #[must_use]
    pub fn ends_at(&self) -> Option<Moment> {
        self.0.iter().map(|counting| counting.tally.until()).min()
    }

    /// Ends those whose time is up.
    #[inline]
    pub fn end_due(&mut self, now: Moment) {
        while let Some(place) = self.0.iter().position(|one| one.tally.until() <= now) {
            self.0.remove(place).give_back(now);
        }
    }
}
