//! The program in the eyes of the kernel.

use dns64::xdp::select::Selection;
use dns64::xdp::spread::Spread;
use dns64::xdp::steering::Steering;
use dns64_ebpf::abi::{SteerBy, SteerConfig, SteerMode};
use dns64_tests::netns::available;

/// The most instructions that the verifier may walk through. Kernels differ by tens of per cent,
/// and refuse at a million.
const VERIFIED_MAX: u32 = 50_000;

#[test]
fn the_verifier_is_far_from_its_limit() {
    if !available(&[]) {
        return;
    }
    let steering = Steering::load(1, 2).expect("the kernel takes the program");
    let count = steering.program().verified_instructions();
    println!("verified instructions: {count:?}");
    // Kernels before 5.16 do not say.
    assert!(count.is_none_or(|count| count < VERIFIED_MAX), "{count:?}");
}

/// The same for the programs that choose sockets and CPUs.
const VERIFIED_MAX_SELECT: u32 = 10_000;
const VERIFIED_MAX_SPREAD: u32 = 30_000;

#[test]
fn the_verifier_is_far_from_its_limit_with_programs_that_steer_to_workers() {
    if !available(&[]) {
        return;
    }
    let config = SteerConfig::new(SteerMode::Worker, SteerBy::Name, 2, 1, 2);
    let selection = Selection::attach(&config, &[Vec::new()]).expect("the kernel takes it");
    let spread = Spread::load(&config, &[0, 0]).expect("the kernel takes it");
    let counts = [selection.verified_instructions(), spread.program().verified_instructions()];
    println!("verified instructions: {counts:?}");
    let [select, spread] = counts;
    assert!(select.is_none_or(|count| count < VERIFIED_MAX_SELECT), "{select:?}");
    assert!(spread.is_none_or(|count| count < VERIFIED_MAX_SPREAD), "{spread:?}");
}
