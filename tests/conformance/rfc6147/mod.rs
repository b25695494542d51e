//! RFC 6147, DNS64, one module a section.

mod aaaa_available;
mod additional_section;
mod assembling;
mod chains;
mod data_for_the_answer;
mod dnssec;
mod errors;
mod exclusion;
mod other_records;
mod parallel;
mod performing;
mod ptr;
mod representations;
mod resolving;
mod timeouts;
mod validation;
