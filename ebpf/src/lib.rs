//! What the kernel side of dns64d and its user space share.
#![no_std]
#![forbid(unsafe_code)]

pub mod hash;
