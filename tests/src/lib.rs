//! What the integration tests share.

pub mod netns;
pub mod server;
