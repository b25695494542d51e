//! The library half of dns64bench.
