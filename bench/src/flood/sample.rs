//! A wrong answer that was kept, in words.
#![forbid(unsafe_code)]

use dns64_ebpf::flood::judge::Verdict;

use crate::load::fault::Fault;
use crate::load::queries::Queries;
use crate::load::sample;
use crate::load::totals::Sample;
use crate::wire::u16_at;

/// What is wrong, and what was asked and came.
pub(super) fn describe(code: u32, response: &[u8], queries: &Queries, slots: usize) -> String {
    let id = usize::from(u16_at(response, 0).unwrap_or(0));
    let query = if id < slots { queries.query(id % queries.len()).to_vec() } else { Vec::new() };
    // The description does not name the fault; the word before it does.
    let sample = Sample { fault: Some(Fault::Malformed), query, response: response.to_vec() };
    format!("{}\n{}", word_of(code), sample::describe(&sample).trim_end())
}

/// A verdict's word: that of `load` where there is one.
fn word_of(code: u32) -> &'static str {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.code() == code);
    match verdict {
        Some(Verdict::Id) => Fault::Id.word(),
        Some(Verdict::Question) => Fault::Question.word(),
        Some(Verdict::Rcode) => Fault::Rcode.word(),
        Some(Verdict::Ttl) => Fault::Ttl.word(),
        Some(Verdict::Address) => Fault::Address.word(),
        Some(Verdict::Header) => "header",
        Some(Verdict::Records) => "number of records",
        Some(Verdict::Record) => "record",
        Some(Verdict::Right | Verdict::Failed) | None => Fault::Malformed.word(),
    }
}
