//! Running a loaded program on frames that nobody has sent (`BPF_PROG_TEST_RUN`).
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use aya::programs::{ProgramError, TestRun, TestRunAttrs, TestRunOptions, Xdp};
use rustix::io::Errno;

use super::program::xdp;
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

/// Frames that are sent as they come, out of memory that the kernel keeps for them
/// (`BPF_F_TEST_XDP_LIVE_FRAMES`).
#[derive(Clone, Copy, Debug)]
pub struct LiveFrames<'f> {
    /// The index of the interface that they seem to have come by, on its first queue: `XDP_TX`
    /// sends them there.
    pub interface: u32,
    /// What each holds when the program sees it for the first time; what it holds later is what
    /// came of it. Its length is always this one. At least 14 octets.
    pub frame: &'f [u8],
    /// How many.
    pub count: u32,
    /// After how many they are handed to the driver at the latest: 1 to 256.
    pub batch: u32,
}

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

    /// Runs another program of the object, which was [loaded too](Program::also_load), on live
    /// frames. A signal ends it early, and is no error.
    ///
    /// # Errors
    /// Without rights, where there is no such program or interface, and before Linux 5.18.
    pub fn run_live(&mut self, name: &str, live: &LiveFrames<'_>) -> Result<(), XdpError> {
        // `struct xdp_md` of linux/bpf.h: data, data_end, data_meta, ingress_ifindex,
        // rx_queue_index, egress_ifindex.
        let context = [0, live.frame.len() as u32, 0, live.interface, 0, 0];
        let octets: Vec<u8> = context.into_iter().flat_map(u32::to_ne_bytes).collect();
        let options = TestRunOptions {
            data_in: Some(live.frame),
            ctx_in: Some(&octets),
            repeat: live.count,
            attrs: TestRunAttrs::new().xdp_live_frames(live.batch),
            ..TestRunOptions::new()
        };
        match xdp(&mut self.ebpf, name)?.test_run(options) {
            Ok(_) => Ok(()),
            Err(ProgramError::SyscallError(error)) => of_live(error.io_error),
            Err(error) => Err(XdpError::of_program(name, error)),
        }
    }

    fn xdp(&self) -> Result<&Xdp, XdpError> {
        let missing = || XdpError::Object { reason: format!("there is no program {}", self.name) };
        let program = self.ebpf.program(self.name).ok_or_else(missing)?;
        program.try_into().map_err(|error| XdpError::of_program(self.name, error))
    }
}

/// What the kernel's refusal of live frames means.
fn of_live(error: io::Error) -> Result<(), XdpError> {
    match Errno::from_io_error(&error) {
        Some(Errno::INTR) => Ok(()),
        Some(Errno::INVAL) => {
            let action = "send live frames (Linux has them from 5.18 on)";
            Err(XdpError::System { action, source: error })
        }
        _ => Err(XdpError::of_call("send live frames", error)),
    }
}
