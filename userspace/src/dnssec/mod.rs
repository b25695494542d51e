//! The validator (RFC 4035 5): whether signatures lead from a trust anchor to an answer.
//!
//! ```text
//!  worker ── Response ──► service ── parts ──► hickory's validator ──► Verdict ──► worker
//!    ▲                                              │        ▲
//!    └────────────── Query (DS, DNSKEY, NS) ◄───────┘        │
//!    └────────────── Reply ──────────────────────────────────┘
//! ```
//!
//! It runs on a thread of its own, because signatures cost more than anything else that is done for
//! an answer: no worker waits for it, and neither do TCP clients. What it needs beside the answer
//! it asks the worker for, as a client with DO and CD.
//!
//! Everything is bounded: responses that wait, responses judged at a time, the time for each,
//! questions asked for each, and signatures looked at for each (KeyTrap, CVE-2023-50387), rounds of
//! NSEC3 (RFC 9276, CVE-2023-50868). What exceeds a bound is indeterminate and is not used.
#![forbid(unsafe_code)]

mod anchors;
mod explain;
mod job;
mod judge;
mod parts;
mod prime;
mod service;
mod source;
#[cfg(test)]
mod tests;

pub use self::anchors::{AnchorError, TrustAnchors};
pub use self::service::{Service, Settings};

use crate::datagram::WorkerId;
use crate::engine::{ToValidate, Validation};
use crate::wire::question::Rtype;

/// What workers send the validator.
#[derive(Clone, Debug)]
pub enum ToValidator {
    /// A response to be judged.
    Response {
        /// Who wants to know.
        worker: WorkerId,
        /// Comes back with the verdict.
        of: ToValidate,
        /// The message; its question is the one that was asked.
        bytes: Vec<u8>,
    },
    /// The reply to a question of the validator.
    Reply {
        /// The question's number.
        number: u64,
        /// The message.
        bytes: Vec<u8>,
    },
}

/// What the validator sends a worker.
#[derive(Clone, Debug)]
pub enum FromValidator {
    /// What it has found.
    Verdict {
        /// The response's.
        of: ToValidate,
        /// Whether it may be used.
        validation: Validation,
    },
    /// It wants to know this, asked with DO and CD.
    Query {
        /// Comes back with the reply.
        number: u64,
        /// The name in wire form.
        name: Vec<u8>,
        /// The type.
        rtype: Rtype,
    },
}
