//! Attacks and faults, through the real program: forged and malformed messages, clients that hold
//! on to what they can get, system calls that fail, upstream servers that lie, fall silent or die,
//! and more queries than there is room for.
//!
//! Everything happens on loopback, on ports of the test's own, with bounded numbers of messages.
//! Where a promise is about an amount, the test counts; where it is about time, it takes the
//! documented budget and nothing tighter.

mod client;
mod hostile;
mod message;
mod responder;

mod duplicates;
mod forgery;
mod junk;
mod letter_case;
mod malformed;
mod overload;
mod records;
mod source_ports;
mod system_calls;
mod tcp_clients;
mod truncation;
mod upstream_errors;
mod upstream_loss;
