//! Running a loaded program on frames that nobody has sent (`BPF_PROG_TEST_RUN`).
#![forbid(unsafe_code)]

use std::time::Duration;

use aya::programs::{TestRun, TestRunOptions, Xdp};

use super::{Program, XdpError};

/// What a program did with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The action it returned: `XDP_PASS`, `XDP_TX` and so on, as linux/bpf.h numbers them.
    pub action: u32,
    /// The frame as it was then.
    pub frame: Vec<u8>,
    /// How long it took, on average over all repetitions.
    pub duration: Duration,
}

/// Octets by which a program may make a frame longer.
const GROWTH_MAX: usize = 1_024;

impl Program {
    /// Runs the program on a frame, `repeat` times over: what one run has changed is there for the
    /// next, so programs that change frames are repeated in vain.
    ///
    /// # Errors
    /// Without rights, or where the kernel takes no frame of this length.
    pub fn run_on(&self, frame: &[u8], repeat: u32) -> Result<Run, XdpError> {
        let program = self.xdp()?;
        let mut space = vec![0; frame.len() + GROWTH_MAX];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut space),
            repeat,
            ..TestRunOptions::new()
        };
        let result =
            program.test_run(options).map_err(|error| XdpError::of_program(self.name, error))?;
        space.truncate(result.data_size_out as usize);
        Ok(Run { action: result.return_value, frame: space, duration: result.duration })
    }

    fn xdp(&self) -> Result<&Xdp, XdpError> {
        let missing = || XdpError::Object { reason: format!("there is no program {}", self.name) };
        let program = self.ebpf.program(self.name).ok_or_else(missing)?;
        program.try_into().map_err(|error| XdpError::of_program(self.name, error))
    }
}
