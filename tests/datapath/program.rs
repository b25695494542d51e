//! The program in the eyes of the kernel.

use dns64::xdp::steering::Steering;
use dns64_tests::netns::available;

/// The most instructions that the verifier may walk through. Kernels differ by tens of per cent,
/// and refuse at a million.
const VERIFIED_MAX: u32 = 100_000;

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
