//! Hot answers given by the XDP program: the program itself, run on frames by the kernel.

use dns64::xdp::hot::HotTable;
use dns64::xdp::Object;
use dns64_ebpf::abi::PROGRAM_STEER;

#[test]
fn it_loads() {
    match HotTable::load(Object::Dns64d, PROGRAM_STEER, 1 << 10) {
        Ok((program, _)) => println!("{:?} instructions verified", program.verified_instructions()),
        Err(error) => panic!("{error}"),
    }
}
