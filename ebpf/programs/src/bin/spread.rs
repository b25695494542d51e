//! The program that takes queries to the CPUs of their workers, on interfaces with fewer receive
//! queues than there are workers. What it cannot judge stays on the CPU that it came to.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::helpers::generated::bpf_get_smp_processor_id;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, CpuMap, HashMap, PerCpuArray};
use aya_ebpf::programs::XdpContext;
use dns64_ebpf::abi::{ClientKey, SERVICES_MAX, ServiceKey, SteerConfig, SteerMode};
use dns64_ebpf::classify::{Tables, Verdict, classify};
use dns64_ebpf::select::SpreadCounter;
use dns64_ebpf_programs::Packet;

/// The configuration: one entry.
#[map]
static CONFIG: Array<SteerConfig> = Array::with_max_entries(1, 0);

/// Where we listen.
#[map]
static SERVICES: HashMap<ServiceKey, u8> = HashMap::with_max_entries(SERVICES_MAX, 0);

/// The CPUs that frames can be taken to. User space says how many there are when it loads the
/// program, as for the next map.
#[map]
static CPUS: CpuMap = CpuMap::with_max_entries(1, 0);

/// The CPU of each worker.
#[map]
static WORKER_CPUS: Array<u32> = Array::with_max_entries(1, 0);

/// What became of the frames.
#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(SpreadCounter::COUNT, 0);

/// The maps as the classifier asks them.
struct Maps(&'static SteerConfig);

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> &SteerConfig {
        self.0
    }

    #[inline(always)]
    fn serves(&self, service: &ServiceKey) -> bool {
        SERVICES.get_ptr(service).is_some()
    }

    /// The worker judges clients.
    #[inline(always)]
    fn denies(&self, _: &ClientKey) -> bool {
        false
    }
}

/// Takes a frame to the CPU of its worker.
#[xdp]
fn spread(context: XdpContext) -> u32 {
    let (counter, action) = judge(&context);
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the value is this CPU's, and a program is not interrupted by another of its kind.
        unsafe { *value += 1 };
    }
    action
}

#[inline(always)]
fn judge(context: &XdpContext) -> (SpreadCounter, u32) {
    const LEFT: (SpreadCounter, u32) = (SpreadCounter::Left, XDP_PASS);
    let Some(config) = CONFIG.get(0) else { return LEFT };
    if config.mode() != SteerMode::Worker {
        return LEFT;
    }
    // What is worthless is thrown away by the worker, which counts it with the rest.
    let Verdict::Steer(query) = classify(&Packet::new(context), &Maps(config)) else {
        return LEFT;
    };
    let Some(worker) = query.worker(config) else { return LEFT };
    let Some(cpu) = WORKER_CPUS.get(u32::from(worker)) else {
        return (SpreadCounter::NoCpu, XDP_PASS);
    };
    // SAFETY: the helper has no conditions.
    if *cpu == unsafe { bpf_get_smp_processor_id() } {
        return (SpreadCounter::Here, XDP_PASS);
    }
    match CPUS.redirect(*cpu, u64::from(XDP_PASS)) {
        Ok(action) => (SpreadCounter::Moved, action),
        Err(_) => (SpreadCounter::NoCpu, XDP_PASS),
    }
}
