//! What dns64d gives up: seen from outside, by what the kernel says of its threads, and from
//! inside, by a process in the same sandbox that tries what is forbidden.

mod inside;
mod outside;
